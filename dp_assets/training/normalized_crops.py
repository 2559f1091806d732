"""Crops that are normalised when they are read, for those who look at them outside the training step."""

from dataclasses import replace

import numpy as np

from dp_assets.imaging.normalization import Normalization, normalize_crops
from dp_assets.training.cells import CropSource, LabelledCells


class NormalizedCrops:
    """The crops of another source, normalised. A `CropSource`.

    Parameters
    ----------
    source : its crops, and what is left to do to them.
    """

    normalization: Normalization = "none"

    def __init__(self, source: CropSource) -> None:
        self._source = source

    @property
    def shape(self) -> tuple[int, int, int]:
        """As CropSource."""
        return self._source.shape

    def __len__(self) -> int:
        return len(self._source)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Normalised crops, (n, rows, cols, channels) float32, in the order asked for."""
        ranges = self._source.ranges(rows)
        limits = None if ranges is None else (ranges[:, 0], ranges[:, 1])
        return normalize_crops(self._source.read(rows), self._source.normalization, limits)

    def ranges(self, rows: np.ndarray) -> None:
        """As CropSource."""


def normalized(source: CropSource) -> CropSource:
    """The crops of a source as a network expects them, float32; the source itself if it gives these."""
    return source if source.normalization == "none" else NormalizedCrops(source)


def normalized_cells(cells: LabelledCells) -> LabelledCells:
    """The same cells with normalised crops, those of later epochs too."""
    renew = cells.renew
    return replace(
        cells,
        crops=normalized(cells.crops),
        renew=None if renew is None else lambda epoch: normalized_cells(renew(epoch)),
    )
