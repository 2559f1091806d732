"""Cells to learn from: where their crops come from, and what each is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dp_assets.imaging.normalization import Normalization


class CropSource(Protocol):
    """Anything that hands out crops by row number: a crop store, several of them, an array in memory.

    A source gives its crops as it has them, and says what is left to do to them before a network may see
    them (`normalization`). The training step does that (`networks.crop_normalization`); whoever wants crops
    that are normalised already takes `normalized_crops.normalized(source)`.

    `read` and `ranges` are called from several threads at once, with rows in any order and with repetitions.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one crop as it enters the network: (rows, cols, channels)."""
        ...

    @property
    def normalization(self) -> Normalization:
        """The normalisation that the crops still need; "none" where they are as the network expects them."""
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
        (n, rows, cols, channels) of uint8, uint16 or float32, the same type in every call.
        """
        ...

    def ranges(self, rows: np.ndarray) -> np.ndarray | None:
        """The grey levels that "plate" takes to 0 and 1.

        Parameters
        ----------
        rows : as for `read`.

        Returns
        -------
        float32 (n, 2, channels), lower and upper grey level of each crop's plate; None with another
        normalisation.
        """
        ...


@dataclass(frozen=True)
class LabelledCells:
    """Crops with their classes.

    Attributes
    ----------
    crops : where the crops come from.
    labels : int64 (n,), index of each cell's class; (n, targets) where the network has several heads.
    images : int64 (n,), number of the image each cell was taken from; only epochs that balance images instead
        of cells need it.
    renew : epoch -> the cells of that epoch, where every epoch has others (random views). They are as many,
        with the same first labels and image numbers.
    """

    crops: CropSource
    labels: np.ndarray
    images: np.ndarray | None = None
    renew: Callable[[int], "LabelledCells"] | None = None

    def __post_init__(self) -> None:
        n = len(self.crops)
        if self.labels.ndim not in (1, 2) or len(self.labels) != n:
            raise ValueError(f"Expected {n} labels, one a crop. Received shape {self.labels.shape}.")
        if self.images is not None and self.images.shape != (n,):
            raise ValueError(f"Expected {n} images, one a crop. Received shape {self.images.shape}.")

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def first_labels(self) -> np.ndarray:
        """Class of each cell in the first target, int64 (n,): what epochs are balanced over."""
        return self.labels if self.labels.ndim == 1 else self.labels[:, 0]

    def in_epoch(self, epoch: int) -> "LabelledCells":
        """The cells of a 0-based epoch: these, or other views of the images.

        Rows that a sampler has drawn from these cells hold for those of every epoch.
        """
        return self if self.renew is None else self.renew(epoch)
