"""Crops cut straight from a plate's images: what profiling reads, and training that needs no crop store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dp_assets.imaging.cropping import CropGeometry, crop_cells
from dp_assets.imaging.plate_crops import NO_CELLS, SiteCells
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.image_sites import ImageSite


@dataclass(frozen=True)
class SiteCrops:
    """The crops of a plate's sites, not normalised yet.

    Attributes
    ----------
    sites : all sites; images may be the original or the compressed ones.
    cells : (well, site) -> its cells.
    geometry : how crops are cut; its margin plays no part.
    channel_order : position in the images' channels of each channel wanted, in the order wanted.
    """

    sites: Sequence[ImageSite]
    cells: Mapping[tuple[str, str], SiteCells]
    geometry: CropGeometry
    channel_order: tuple[int, ...]

    def cells_of(self, site: ImageSite) -> SiteCells:
        """The cells of a site; none when the locations do not name it."""
        return self.cells.get((site.well, site.site), NO_CELLS)

    def site_fingerprint(self, site: ImageSite) -> str:
        """What the crops of one site are made from."""
        return fingerprint(
            "site crops",
            site.key,
            list(self.channel_order),
            [self.geometry.box_size, self.geometry.sampling],
            list(site.original_shape),
            list(site.fingerprints),
            self.cells_of(site).fingerprint,
        )

    def crops(self, site: ImageSite, maximum_pixels: int) -> np.ndarray:
        """The crops of a site, (cells, box, box, channels) float32 in source grey levels.

        Raises
        ------
        ImageFileError : an image cannot be read, or has another size than when it was inspected.
        """
        image = site.read(maximum_pixels)[:, :, list(self.channel_order)]
        return crop_cells(image, self.cells_of(site).centres, self.geometry, site.original_shape)
