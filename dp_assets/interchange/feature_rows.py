"""Rows of features on their way from another program's files: what they are of, and their numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class RowKeys:
    """Where rows of one file come from.

    Attributes
    ----------
    path : the file.
    numbers : (rows,) int64, number of each row in the file, from 1, without the header.
    plate, well, site : (rows,) text; site is "" where nothing tells it.
    """

    path: Path
    numbers: np.ndarray
    plate: np.ndarray
    well: np.ndarray
    site: np.ndarray

    def __len__(self) -> int:
        return len(self.plate)

    def where(self, row: int) -> str:
        """How a message names a row of this part."""
        return f"{self.path}, row {self.numbers[row]}"

    def of(self, rows: np.ndarray) -> "RowKeys":
        """Those of the rows for which `rows` (boolean) is true."""
        arrays = (self.numbers, self.plate, self.well, self.site)
        return self if rows.all() else RowKeys(self.path, *(values[rows] for values in arrays))


@dataclass(frozen=True)
class FeatureRows:
    """Rows of features that follow one another in a file.

    Attributes
    ----------
    keys : where they come from.
    images : (rows,) text, the number of the image; None where there is none.
    objects : (rows,) text, the number of the object within its image; None where there is none.
    metadata : `Metadata_*` -> (rows,) text.
    features : (rows, features) float32; missing values are NaN or infinite.
    """

    keys: RowKeys
    images: np.ndarray | None
    objects: np.ndarray | None
    metadata: dict[str, np.ndarray]
    features: np.ndarray


class FeatureSource(Protocol):
    """Files of one program with the same features.

    `features` are the names of the columns; `always_cells` is true where every row is known to be a cell.
    `left_out` counts, by reason, what is not among the rows. `notes` are remarks for people.
    """

    features: tuple[str, ...]
    always_cells: bool
    left_out: dict[str, int]
    notes: tuple[str, ...]

    @property
    def sites_known(self) -> bool:
        """Whether every row tells its site."""

    @property
    def sites_named(self) -> bool:
        """Whether the sites are those of a column, rather than numbers of images."""

    def row_keys(self) -> Iterator[RowKeys]:
        """All rows without their features, quicker than `rows`."""

    def rows(self) -> Iterator[FeatureRows]:
        """All rows, file by file."""
