"""Cells to learn from: where their crops come from, and what each is."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class CropSource(Protocol):
    """Anything that hands out crops by row number: a crop store, several of them, an array in memory.

    `read` is called from several threads at once, with rows in any order and with repetitions.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one crop as it enters the network: (rows, cols, channels)."""
        ...

    def __len__(self) -> int:
        """Number of crops."""
        ...

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Crops of the given rows.

        Parameters
        ----------
        rows : int64 (n,), each in [0, len(self)).

        Returns
        -------
        float32 (n, rows, cols, channels), normalised as the network expects them.
        """
        ...


@dataclass(frozen=True)
class LabelledCells:
    """Crops with their classes.

    Attributes
    ----------
    crops : where the crops come from.
    labels : int64 (n,), index of each cell's class.
    images : int64 (n,), number of the image each cell was taken from; only `crop_generator`, which balances
        images instead of cells, needs it.
    """

    crops: CropSource
    labels: np.ndarray
    images: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, values in (("labels", self.labels), ("images", self.images)):
            if values is not None and values.shape != (len(self.crops),):
                raise ValueError(
                    f"Expected {len(self.crops)} {name}, one a crop. Received shape {values.shape}."
                )

    def __len__(self) -> int:
        return len(self.crops)
