"""What a plate's features are made from, known before any network is opened; imports no Keras."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dp_assets.imaging.cropping import CropGeometry, crop_cells
from dp_assets.imaging.normalization import Normalization, normalize_crops
from dp_assets.imaging.plate_crops import NO_CELLS, SiteCells
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.image_sites import ImageSite, usable

VERSION = "1"


@dataclass(frozen=True)
class FeaturePlan:
    """What a plate's features are made from.

    Attributes
    ----------
    sites : all sites; images may be the original or the compressed ones.
    channel_order : position in the images' channels of each channel the network wants, in its order.
    cells : (well, site) -> cells.
    geometry, normalization, plate_range : how crops are cut and normalised (as in training).
    model_fingerprint, layer, precision : which numbers come out.
    network : prefix of the feature names.
    batch_size : cells per forward pass.
    """

    sites: Sequence[ImageSite]
    channel_order: tuple[int, ...]
    cells: Mapping[tuple[str, str], SiteCells]
    geometry: CropGeometry
    normalization: Normalization
    plate_range: tuple[np.ndarray, np.ndarray] | None
    model_fingerprint: str
    layer: str
    precision: str
    network: str
    batch_size: int

    def cells_of(self, site: ImageSite) -> SiteCells:
        """The cells of a site; none when the locations do not name it."""
        return self.cells.get((site.well, site.site), NO_CELLS)

    def site_fingerprint(self, site: ImageSite) -> str:
        """What one site's features are made from."""
        plate_range = (
            [values.tolist() for values in self.plate_range] if self.plate_range is not None else None
        )
        return fingerprint(
            "features",
            VERSION,
            site.key,
            list(self.channel_order),
            [self.geometry.box_size, self.geometry.sampling],
            self.normalization,
            plate_range,
            [self.model_fingerprint, self.layer, self.precision, self.batch_size],
            list(site.original_shape),
            list(site.fingerprints),
            self.cells_of(site).fingerprint,
        )

    @property
    def fingerprint(self) -> str:
        """What the plate's features are made from."""
        return fingerprint([[site.key, self.site_fingerprint(site)] for site in usable(self.sites)])

    def crops(self, site: ImageSite, maximum_pixels: int) -> np.ndarray:
        """Normalised crops of a site, (cells, box, box, channels) float32, as the network wants them."""
        image = site.read(maximum_pixels)[:, :, list(self.channel_order)]
        raw = crop_cells(image, self.cells_of(site).centres, self.geometry, site.original_shape)
        return normalize_crops(raw, self.normalization, self.plate_range)
