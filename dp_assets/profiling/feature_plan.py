"""What a plate's features are made from, known before any network is opened; imports no Keras."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dp_assets.imaging.normalization import Normalization, normalize_crops
from dp_assets.imaging.plate_crops import SiteCells
from dp_assets.imaging.site_crops import SiteCrops
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.image_sites import ImageSite, usable

VERSION = "2"


@dataclass(frozen=True)
class FeaturePlan:
    """What a plate's features are made from.

    Attributes
    ----------
    source : the crops, channels in the order the network wants.
    normalization, plate_range : how crops are normalised (as in training).
    model_fingerprint, layer, precision : which numbers come out.
    network : prefix of the feature names.
    batch_size : cells per forward pass.
    repeated_channels : names of the crops' channels where each goes through the network on its own.
    """

    source: SiteCrops
    normalization: Normalization
    plate_range: tuple[np.ndarray, np.ndarray] | None
    model_fingerprint: str
    layer: str
    precision: str
    network: str
    batch_size: int
    repeated_channels: tuple[str, ...] = ()

    def feature_names(self, dimension: int) -> list[str]:
        """The names of a cell's `dimension` features; with repeated channels they name the channel too."""
        prefixes = [f"{self.network}_{channel}" for channel in self.repeated_channels] or [self.network]
        return [f"{prefix}_{number}" for prefix in prefixes for number in range(dimension // len(prefixes))]

    @property
    def sites(self) -> Sequence[ImageSite]:
        """All sites."""
        return self.source.sites

    def cells_of(self, site: ImageSite) -> SiteCells:
        """The cells of a site; none when the locations do not name it."""
        return self.source.cells_of(site)

    def site_fingerprint(self, site: ImageSite) -> str:
        """What one site's features are made from."""
        return fingerprint(
            "features",
            VERSION,
            self.source.site_fingerprint(site),
            self.normalization,
            self._plate_levels(),
            [self.model_fingerprint, self.layer, self.precision, self.batch_size],
            # Where channels go together, features stay what they were before channels could be repeated.
            *([list(self.repeated_channels)] if self.repeated_channels else []),
        )

    @property
    def fingerprint(self) -> str:
        """What the plate's features are made from."""
        return fingerprint([[site.key, self.site_fingerprint(site)] for site in usable(self.sites)])

    def crops(self, site: ImageSite, maximum_pixels: int) -> np.ndarray:
        """Normalised crops of a site, (cells, box, box, channels) float32, as the network wants them."""
        return self.normalized(self.source.crops(site, maximum_pixels))

    def normalized(self, raw: np.ndarray) -> np.ndarray:
        """Crops in source grey levels as the network wants them, both (cells, box, box, channels) float32."""
        return normalize_crops(raw, self.normalization, self.plate_range)

    def normalizes_like(self, other: "FeaturePlan") -> bool:
        """Whether the same crops become the same numbers."""
        return self.normalization == other.normalization and self._plate_levels() == other._plate_levels()

    def _plate_levels(self) -> list[list[float]] | None:
        return [values.tolist() for values in self.plate_range] if self.plate_range is not None else None
