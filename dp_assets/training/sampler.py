"""Which cells an epoch is made of: balanced over the classes, drawn anew each epoch, reproducible."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np

from dp_assets.config.stages import TrainingSettings
from dp_assets.training.cells import LabelledCells

# However few cells may be held in memory, batches are mixed from about so many images,
LEAST_IMAGES_MIXED = 8
# for which so many have to be held.
LEAST_IMAGES_HELD = 2 * LEAST_IMAGES_MIXED
BALANCES_IMAGES = ("crop_generator", "full_image_crop_generator")


class EpochSampler(Protocol):
    """Draws the rows of an epoch."""

    def draw(self, epoch: int) -> np.ndarray:
        """Rows (int64) of the epoch's cells, in the order in which they are shown."""
        ...


class BalancedEpochs:
    """Epochs in which every class contributes the same number of cells.

    That number is the median over the classes of their cell counts, rounded down (a class without any cell
    counts for nothing). A class that has fewer cells gives them with replacement, one that has more gives a
    part of them, another part each epoch. Source: DeepProfiler, `sampled_crop_generator`.

    Parameters
    ----------
    labels : int64 (n,), class of each cell, in [0, classes).
    classes : number of classes.
    seed : an epoch depends on the seed and its own number only, so a resumed run sees the cells it would have
        seen.
    """

    def __init__(self, labels: np.ndarray, classes: int, seed: int) -> None:
        self._rows = [rows for rows in rows_of_each(labels, classes) if len(rows)]
        self._seed = seed
        self.cells_per_class = int(np.median([len(rows) for rows in self._rows])) if self._rows else 0

    def draw(self, epoch: int) -> np.ndarray:
        """Rows of one epoch: int64 (classes * cells_per_class,), shuffled."""
        generator = epoch_generator(self._seed, epoch)
        n = self.cells_per_class
        parts = [generator.choice(rows, n, replace=len(rows) < n) for rows in self._rows]
        drawn = np.concatenate(parts) if parts else np.empty(0, np.int64)
        generator.shuffle(drawn)
        return drawn


class BalancedImageEpochs:
    """Epochs in which every class contributes as many images, and each image as many of its cells.

    An epoch has classes x (median images per class) x (median cells per image) x `factor` cells, cut to whole
    batches. Images are drawn with replacement for a class that has fewer than the median, and so are cells of
    an image that has fewer than asked for. Source: DeepProfiler, `crop_generator`.

    Where crops are cut from images while training, an epoch goes through its images in random order, of all
    classes in turn. The cells of an image are scattered over the cells of the images that follow it, as far
    as fit into memory: batches mix many images, and each image drawn is read once.

    Parameters
    ----------
    labels : int64 (n,), class of each cell.
    images : int64 (n,), image of each cell.
    classes : number of classes.
    seed : as in BalancedEpochs.
    factor : share of an image's cells that an epoch uses (`train.sampling.factor`).
    batch_size : the epoch is cut to a multiple of it (never to nothing).
    cells_held : number of cells held in memory (`train.sampling.cache_size`); None shuffles whole epochs.
    """

    def __init__(
        self,
        labels: np.ndarray,
        images: np.ndarray,
        classes: int,
        seed: int,
        *,
        factor: float,
        batch_size: int,
        cells_held: int | None = None,
    ) -> None:
        self._images: list[list[np.ndarray]] = []
        for rows in rows_of_each(labels, classes):
            if len(rows):
                _, codes = np.unique(images[rows], return_inverse=True)
                self._images.append([rows[part] for part in rows_of_each(codes, int(codes.max()) + 1)])
        self._seed = seed
        self._cells_held = cells_held
        images_each = [len(group) for group in self._images]
        cells_each = [len(image) for group in self._images for image in group]
        self.images_per_class = int(np.median(images_each))
        share = float(np.median(cells_each)) * factor
        self.cells_per_image = max(1, int(np.ceil(share)))
        total = max(1, int(len(self._images) * self.images_per_class * share))
        self.cells_per_epoch = total if total < batch_size else total // batch_size * batch_size

    def draw(self, epoch: int) -> np.ndarray:
        """Rows of one epoch: int64 (cells_per_epoch,), shuffled as far as memory allows."""
        generator = epoch_generator(self._seed, epoch)
        images = self._drawn_images(generator)
        k = self.cells_per_image
        cells = [generator.choice(image, k, replace=len(image) < k) for image in images]
        kept = np.zeros(len(cells) * k, bool)
        kept[generator.permutation(len(kept))[: self.cells_per_epoch]] = True
        order = self._order([len(image) for image in images], generator)
        return np.concatenate(cells)[order[kept[order]]]

    def _drawn_images(self, generator: np.random.Generator) -> list[np.ndarray]:
        """The rows of each image of an epoch, in random order, one image of every class after the other."""
        n = self.images_per_class
        chosen = [generator.choice(len(group), n, replace=len(group) < n) for group in self._images]
        return [
            self._images[group][chosen[group][turn]]
            for turn in range(n)
            for group in generator.permutation(len(self._images))
        ]

    def _order(self, sizes: Sequence[int], generator: np.random.Generator) -> np.ndarray:
        """The order of an epoch's cells, given image by image, `cells_per_image` of each.

        Parameters
        ----------
        sizes : number of cells of each image of the epoch: so many are held in memory for it.
        """
        cells = len(sizes) * self.cells_per_image
        if self._cells_held is None or sum(sizes) <= self._cells_held:
            return generator.permutation(cells)
        starts = np.repeat(np.cumsum([0, *sizes[:-1]]), self.cells_per_image)
        # Between two cells of an image lie cells of images up to one window before it, and one after it.
        window = (self._cells_held - max(sizes)) / 2
        window = max(window, LEAST_IMAGES_MIXED * float(np.median(sizes)))
        return np.argsort(starts + generator.uniform(0, window, cells), kind="stable")


def training_sampler(settings: TrainingSettings, cells: LabelledCells, classes: int) -> EpochSampler:
    """How the configuration wants epochs drawn from these cells.

    Parameters
    ----------
    cells : the training cells.
    classes : number of classes of the first target.
    """
    network, sampling = settings.network, settings.sampling
    if network.crop_generator in BALANCES_IMAGES and cells.images is not None:
        return BalancedImageEpochs(
            cells.first_labels,
            cells.images,
            classes,
            network.seed,
            factor=sampling.factor,
            batch_size=network.params.batch_size,
            cells_held=sampling.cache_size,
        )
    return BalancedEpochs(cells.first_labels, classes, network.seed)


def validation_rows(
    cells: LabelledCells, classes: int, seed: int, *, first_per_image: int | None
) -> np.ndarray:
    """Which cells every validation looks at.

    Parameters
    ----------
    cells : the cells of `validation.frame`.
    classes : number of classes of the first target.
    seed : `train.model.seed`.
    first_per_image : None for a balanced draw (as BalancedEpochs); else the first so many cells of every
        image (`validation.sample_first_crops`).

    Returns
    -------
    int64 (n,), ascending: cells of one image follow each other, so that each image is read once.
    """
    if first_per_image is None:
        return np.sort(BalancedEpochs(cells.first_labels, classes, seed).draw(0))
    if cells.images is None:
        raise ValueError("Expected cells that know their images, to take the first of each. Received None.")
    _, codes = np.unique(cells.images, return_inverse=True)
    groups = rows_of_each(codes, int(codes.max()) + 1 if len(codes) else 0)
    return np.sort(np.concatenate([np.empty(0, np.int64), *(rows[:first_per_image] for rows in groups)]))


def rows_of_each(labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """The rows that carry each label 0 .. classes - 1, ascending within a label (list of int64 arrays)."""
    order = np.argsort(labels, kind="stable").astype(np.int64)
    edges = np.searchsorted(labels[order], np.arange(classes + 1))
    return [order[start:stop] for start, stop in pairwise(edges)]


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """A random generator that depends on the seed and the epoch's number only."""
    return np.random.default_rng([seed % 2**63, epoch])
