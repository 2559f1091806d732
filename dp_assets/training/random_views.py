"""Training on whole images: every epoch shows other views of them, at random places."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from dp_assets.imaging.plate_crops import SiteCells
from dp_assets.training.cells import LabelledCells
from dp_assets.training.crop_supply import Ranges
from dp_assets.training.image_cache import CutImage
from dp_assets.training.image_crops import ImageCrops, Placed
from dp_assets.training.image_supply import cell_keys
from dp_assets.training.plate_images import PlateImages, SourceSite, alike
from dp_assets.training.sampler import rows_of_each
from dp_assets.training.training_set import ImageKey, images_of, labels_of

# A view that is flat is drawn again, so often.
DRAWS = 4
# Its draw is told apart from those of the turns, which count from 0.
DRAW_OF_IMAGES = 2**31


class ViewSupply:
    """Views of whole images: at random places for training, the grid of profiling otherwise. A `CropSupply`.

    A row of its training set is an image, with the cell name "0".

    Parameters
    ----------
    images : the plates; their cells are the views of the grid.
    """

    def __init__(self, images: PlateImages) -> None:
        self._images = images

    @property
    def flat(self) -> Mapping[str, int]:
        """As CropSupply."""
        return self._images.flat

    def listing(self, plate: str) -> pa.Table:
        """As CropSupply: one row an image, in order."""
        return cell_keys([(plate, site.well, site.site, "0") for site in self._images.sites_of(plate)])

    def fingerprints(self, cells: pa.Table) -> dict[str, str]:
        """As CropSupply: the images in use, and how views of them are cut."""
        return self._images.fingerprints(cells)

    def labelled(self, cells: pa.Table, plate_ranges: Ranges, *, training: bool, seed: int) -> LabelledCells:
        """As CropSupply; the cells are views, so more than rows."""
        keys, labels = images_of(cells)[1], labels_of(cells)
        if training and len(keys):
            return RandomViews(self._images, keys, labels, plate_ranges, seed).in_epoch(0)
        views = [len(source.cells_of(site).names) for source, site in self._images.find(keys)]
        images = np.repeat(np.arange(len(keys)), views)
        places = np.concatenate([np.empty(0, np.int64), *(np.arange(count) for count in views)])
        placed = Placed(images, places, alike(labels))
        return self._images.known_cells(keys, placed, labels[images], plate_ranges)

    def pixels(self, cells: pa.Table) -> np.ndarray:
        """As CropSupply: the view in the middle of the grid of each image."""
        found = self._images.find(images_of(cells)[1])
        views = [source.crops(site, self._images.maximum_pixels) for source, site in found]
        return np.stack([some[len(some) // 2] for some in views])


@dataclass(frozen=True)
class _Epoch:
    """The images of an epoch.

    Attributes
    ----------
    number : of the epoch, counted from 0.
    images : int64 (turns,), the image of each turn.
    """

    number: int
    images: np.ndarray


class RandomViews:
    """Epochs of random views.

    An epoch has turns: every class gets as many, the median over the classes of their numbers of images. In
    each turn an image is shown with as many views as the grid of profiling has, the median over the images. A
    class with more images gives a part of them, another part each epoch; one with fewer gives them in turn.
    Where a view lies depends on the seed, the epoch and the turn only. Views lie fully inside the image, at
    any whole pixel; along an axis where the image is smaller than the view, in the middle.

    Parameters
    ----------
    supply : the plates.
    keys : the training images.
    labels : int64 (images,) or (images, targets).
    ranges : grey levels for normalization "plate".
    seed : `train.model.seed`.
    """

    def __init__(
        self, supply: PlateImages, keys: list[ImageKey], labels: np.ndarray, ranges: Ranges, seed: int
    ) -> None:
        self._supply = supply
        self._keys = keys
        self._labels = labels
        self._ranges = ranges
        self._seed = seed % 2**63
        self._found = supply.find(keys)
        self._views = int(np.median([len(source.cells_of(site).names) for source, site in self._found]))
        first = labels.reshape(len(labels), -1)[:, 0]
        self._groups = [rows for rows in rows_of_each(first, int(first.max()) + 1) if len(rows)]
        self._turns = int(np.median([len(rows) for rows in self._groups]))

    def in_epoch(self, number: int) -> LabelledCells:
        """The views of a 0-based epoch: `LabelledCells` with (classes * turns * views) rows."""
        epoch = _Epoch(number, self._drawn_images(number))
        turns = len(epoch.images)
        placed = Placed(
            images=np.repeat(np.arange(turns), self._views),
            places=np.tile(np.arange(self._views), turns),
            alike=alike(self._labels[epoch.images]),
        )
        crops = ImageCrops(
            self._supply.crop_shape,
            placed,
            cut=lambda turn: self._supply.cache.get((number, turn), lambda: self._cut(epoch, turn)),
            name=lambda turn: "/".join(self._keys[epoch.images[turn]]),
        )
        labels = self._labels[epoch.images][placed.images]
        return LabelledCells(crops, labels, placed.images, renew=self.in_epoch)

    def _drawn_images(self, epoch: int) -> np.ndarray:
        """The image of every turn, those of a class after those of another, int64 (turns,)."""
        generator = np.random.default_rng([self._seed, epoch, DRAW_OF_IMAGES])
        return np.concatenate(
            [
                np.concatenate([generator.permutation(rows) for _ in range(-(-self._turns // len(rows)))])[
                    : self._turns
                ]
                for rows in self._groups
            ]
        )

    def _cut(self, epoch: _Epoch, turn: int) -> CutImage:
        """The views of one turn; flat ones are drawn again a few times."""
        image = epoch.images[turn]
        found = self._found[image]
        generator = np.random.default_rng([self._seed, epoch.number, turn])
        cut = self._cut_at(found, self._centres(found, generator))
        self._supply.count_flat((epoch.number, turn), cut.flat)
        for _ in range(DRAWS):
            flat = np.flatnonzero(cut.unusable)
            if not len(flat):
                break
            again = self._cut_at(found, self._centres(found, generator)[: len(flat)])
            cut.crops[flat], cut.flat[flat] = again.crops, again.flat
        return cut

    def _centres(self, found: SourceSite, generator: np.random.Generator) -> np.ndarray:
        """Random centres of as many views as an image has, (views, 2) float64, in original pixels."""
        source, site = found
        side = source.geometry.view
        first = [
            generator.integers(0, size - side, self._views, endpoint=True)
            if size > side
            else np.full(self._views, (size - side) / 2)
            for size in site.original_shape
        ]
        return np.stack(first, axis=1) + side / 2

    def _cut_at(self, found: SourceSite, centres: np.ndarray) -> CutImage:
        source, site = found
        views = SiteCells(tuple(map(str, range(len(centres)))), centres)
        return self._supply.cut(replace(source, cells={(site.well, site.site): views}), site, self._ranges)
