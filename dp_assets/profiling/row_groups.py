"""Rows of a table that belong together: the sites of a well, the wells of a treatment."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dp_assets.profiling.aggregation import Key
from dp_assets.profiling.profile_tables import Texts


@dataclass(frozen=True)
class RowGroups:
    """The groups of the rows of a table.

    Attributes
    ----------
    keys : what each group's rows share, in order of first appearance.
    numbers : (rows,) int, the group of each row.
    """

    keys: list[Key]
    numbers: np.ndarray

    def rows(self) -> Iterator[np.ndarray]:
        """The row numbers of each group, ascending."""
        order = np.argsort(self.numbers, kind="stable")
        ends = np.cumsum(np.bincount(self.numbers, minlength=len(self.keys)))
        yield from np.split(order, ends[:-1]) if self.keys else ()


def group_rows(table: pa.Table, key: Sequence[str]) -> RowGroups:
    """Rows that have the same values in all columns of `key`; they need not lie together."""
    numbers: dict[Key, int] = {}
    rows = zip(*(table[name].to_pylist() for name in key), strict=True)
    found = [numbers.setdefault(row, len(numbers)) for row in rows]
    return RowGroups(list(numbers), np.array(found, dtype=np.int64))


def shared_values(table: pa.Table, groups: RowGroups, names: Sequence[str]) -> dict[str, Texts]:
    """name -> value of each group, for those of the columns that have one value in every group."""
    _, first = np.unique(groups.numbers, return_index=True)
    shared: dict[str, Texts] = {}
    for name in names:
        values = np.array(table[name].to_pylist(), dtype=object)
        if (values == values[first][groups.numbers]).all():
            shared[name] = list(values[first])
    return shared


def summed_counts(table: pa.Table, groups: RowGroups, name: str) -> list[int | None]:
    """The sum of a column of counts (as text) over each group; None where some row has no number.

    All are None where the table has no such column.
    """
    if name not in table.column_names:
        return [None] * len(groups.keys)
    counts = np.array([_count(text) for text in table[name].to_pylist()], dtype=np.float64)
    sums = [float(counts[rows].sum()) for rows in groups.rows()]
    return [int(total) if np.isfinite(total) else None for total in sums]


def _count(text: str | None) -> float:
    try:
        # Other programs write counts as 12.0.
        return float(text or "nan")
    except ValueError:
        return float("nan")
