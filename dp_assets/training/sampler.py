"""Which cells an epoch is made of: balanced over the classes, drawn anew each epoch, reproducible."""

from itertools import pairwise
from typing import Protocol

import numpy as np


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

    Parameters
    ----------
    labels : int64 (n,), class of each cell.
    images : int64 (n,), image of each cell.
    classes : number of classes.
    seed : as in BalancedEpochs.
    factor : share of an image's cells that an epoch uses (`train.sampling.factor`).
    batch_size : the epoch is cut to a multiple of it (never to nothing).
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
    ) -> None:
        self._images: list[list[np.ndarray]] = []
        for rows in rows_of_each(labels, classes):
            if len(rows):
                _, codes = np.unique(images[rows], return_inverse=True)
                self._images.append([rows[part] for part in rows_of_each(codes, int(codes.max()) + 1)])
        self._seed = seed
        images_each = [len(group) for group in self._images]
        cells_each = [len(image) for group in self._images for image in group]
        self.images_per_class = int(np.median(images_each))
        share = float(np.median(cells_each)) * factor
        self.cells_per_image = max(1, int(np.ceil(share)))
        total = max(1, int(len(self._images) * self.images_per_class * share))
        self.cells_per_epoch = total if total < batch_size else total // batch_size * batch_size

    def draw(self, epoch: int) -> np.ndarray:
        """Rows of one epoch: int64 (cells_per_epoch,), shuffled."""
        generator = epoch_generator(self._seed, epoch)
        parts = []
        for group in self._images:
            n = self.images_per_class
            for chosen in generator.choice(len(group), n, replace=len(group) < n):
                image = group[chosen]
                k = self.cells_per_image
                parts.append(generator.choice(image, k, replace=len(image) < k))
        drawn = np.concatenate(parts)
        generator.shuffle(drawn)
        return drawn[: self.cells_per_epoch]


def rows_of_each(labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """The rows that carry each label 0 .. classes - 1, ascending within a label (list of int64 arrays)."""
    order = np.argsort(labels, kind="stable").astype(np.int64)
    edges = np.searchsorted(labels[order], np.arange(classes + 1))
    return [order[start:stop] for start, stop in pairwise(edges)]


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """A random generator that depends on the seed and the epoch's number only."""
    return np.random.default_rng([seed % 2**63, epoch])
