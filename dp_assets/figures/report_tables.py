"""Tables of a report: cells as text, with the value they are sorted by."""

import numbers
from dataclasses import dataclass
from typing import Any

import pandas as pd

MOST_ROWS, MOST_COLUMNS = 200, 40


@dataclass(frozen=True)
class Cell:
    """What is written, what it is sorted by, and whether that is a number."""

    text: str
    key: str
    is_number: bool


@dataclass(frozen=True)
class ReportTable:
    """A table cut to a size that a browser can show.

    Attributes
    ----------
    heading : of the table.
    columns : their names, and whether they hold numbers.
    rows : cells by row.
    note : how much was cut; "" when nothing was.
    size : rows before the cut, as text.
    """

    heading: str
    columns: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str
    size: str


def report_table(heading: str, table: pd.DataFrame) -> ReportTable:
    """The first 200 rows and 40 columns of a table; an index that is not a plain count becomes a column."""
    whole = table if isinstance(table.index, pd.RangeIndex) else table.reset_index()
    shown = whole.iloc[:MOST_ROWS, :MOST_COLUMNS]
    cells = [[_cell(value) for value in shown.iloc[:, i].tolist()] for i in range(shown.shape[1])]
    return ReportTable(
        heading=heading,
        columns=tuple(
            (str(name), any(cell.is_number for cell in column))
            for name, column in zip(shown.columns, cells, strict=True)
        ),
        rows=tuple(zip(*cells, strict=True)),
        note=_note(whole),
        size=f"{len(whole):,} row{'' if len(whole) == 1 else 's'}",
    )


def _note(table: pd.DataFrame) -> str:
    cuts = []
    if len(table) > MOST_ROWS:
        cuts.append(f"the first {MOST_ROWS} of {len(table):,} rows")
    if table.shape[1] > MOST_COLUMNS:
        cuts.append(f"the first {MOST_COLUMNS} of {table.shape[1]:,} columns")
    return f"Shown: {' and '.join(cuts)}." if cuts else ""


def _cell(value: Any) -> Cell:
    if isinstance(value, bool):
        return Cell("yes" if value else "no", "1" if value else "0", False)
    if isinstance(value, list | tuple | set | dict):
        return Cell(str(value), str(value), False)
    if value is None or pd.isna(value):
        return Cell("", "", False)
    if isinstance(value, numbers.Integral):
        return Cell(f"{int(value)}", f"{int(value)}", True)
    if isinstance(value, numbers.Real):
        number = float(value)
        return Cell(f"{number:.4g}", repr(number), True)
    return Cell(str(value), str(value), False)
