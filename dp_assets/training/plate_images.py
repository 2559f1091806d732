"""The images that crops are cut from while training: found, read, cut, normalised, and held for a while."""

from collections.abc import Hashable, Mapping, Sequence
from threading import Lock

import numpy as np
import pyarrow as pa

from dp_assets.imaging.normalization import Normalization, flat_channels, normalize_crops
from dp_assets.imaging.site_crops import SiteCrops
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.image_sites import ImageSite, usable
from dp_assets.training.cells import LabelledCells
from dp_assets.training.crop_supply import Ranges, plates_of
from dp_assets.training.image_cache import CutImage, ImageCache
from dp_assets.training.image_crops import ImageCrops, Placed
from dp_assets.training.sampler import LEAST_IMAGES_HELD
from dp_assets.training.training_set import ImageKey, images_of

SourceSite = tuple[SiteCrops, ImageSite]


class PlateImages:
    """The images of some plates.

    Parameters
    ----------
    plates : plate -> its sites with their cells.
    channels : channel names, in the order of the crops.
    normalization : how crops are normalised.
    maximum_pixels : larger images are refused before they are decoded.
    cells_held : number of cells held in memory (`train.sampling.cache_size`).
    """

    def __init__(
        self,
        plates: Mapping[str, SiteCrops],
        channels: tuple[str, ...],
        normalization: Normalization,
        *,
        maximum_pixels: int,
        cells_held: int,
    ) -> None:
        self.plates = plates
        self.channels = channels
        self.maximum_pixels = maximum_pixels
        self._normalization = normalization
        self.cache = ImageCache(cells_held, LEAST_IMAGES_HELD)
        self.flat: dict[str, int] = {}
        self._counted: set[Hashable] = set()
        self._lock = Lock()

    @property
    def crop_shape(self) -> tuple[int, int, int]:
        """(rows, cols, channels) of a crop."""
        box = next(iter(self.plates.values())).geometry.box_size
        return box, box, len(self.channels)

    def sites_of(self, plate: str) -> list[ImageSite]:
        """The sites of a plate whose images can be used, in order."""
        return usable(self.plates[plate].sites)

    def find(self, images: Sequence[ImageKey]) -> list[SourceSite]:
        """The sites of these images, each with the crops of its plate."""
        known = {
            plate: {(site.well, site.site): site for site in self.plates[plate].sites}
            for plate in {plate for plate, _, _ in images}
        }
        return [(self.plates[plate], known[plate][(well, site)]) for plate, well, site in images]

    def fingerprints(self, cells: pa.Table) -> dict[str, str]:
        """Plate -> fingerprint of the sites that these rows name; other sites of the plate do not count."""
        used: dict[str, set[tuple[str, str]]] = {plate: set() for plate in plates_of(cells)}
        for plate, well, site in images_of(cells)[1]:
            used[plate].add((well, site))
        return {
            plate: fingerprint(
                [
                    [site.key, self.plates[plate].site_fingerprint(site)]
                    for site in self.plates[plate].sites
                    if (site.well, site.site) in keys
                ]
            )
            for plate, keys in used.items()
        }

    def cut(self, source: SiteCrops, site: ImageSite, ranges: Ranges) -> CutImage:
        """Read an image and cut all cells that `source` has for it.

        Raises
        ------
        ImageFileError : the image cannot be read.
        """
        raw = source.crops(site, self.maximum_pixels)
        crops = normalize_crops(raw, self._normalization, ranges.get(site.plate))
        return CutImage(crops, flat_channels(raw))

    def count_flat(self, image: Hashable, flat: np.ndarray) -> None:
        """Remember how many crops of an image are flat, bool (cells, channels); each image counts once."""
        if not flat.any():
            return
        names = np.asarray(self.channels, dtype=object)
        with self._lock:
            if image not in self._counted:
                self._counted.add(image)
                for row in flat[flat.any(axis=1)]:
                    key = ",".join(names[row])
                    self.flat[key] = self.flat.get(key, 0) + 1

    def known_cells(
        self, images: Sequence[ImageKey], placed: Placed, labels: np.ndarray, ranges: Ranges
    ) -> LabelledCells:
        """Cells whose places are known beforehand, as crops with their classes."""
        found = self.find(images)

        def cut_all(number: int) -> CutImage:
            cut = self.cut(*found[number], ranges)
            self.count_flat(images[number], cut.flat)
            return cut

        crops = ImageCrops(
            self.crop_shape,
            placed,
            cut=lambda number: self.cache.get(images[number], lambda: cut_all(number)),
            name=lambda number: "/".join(images[number]),
        )
        return LabelledCells(crops, labels, placed.images)


def alike(labels: np.ndarray) -> np.ndarray:
    """The same number for the same labels: int64 (n,) from int64 (n,) or (n, targets)."""
    rows = labels[:, None] if labels.ndim == 1 else labels
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
