"""Where a well lies on its plate, from its name."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

WELL_NAME = re.compile(r"^([A-Z]{1,2})0*([1-9][0-9]?)$")
# Standard plates of the ANSI/SLAS format: wells -> (rows, cols).
FORMATS = {96: (8, 12), 384: (16, 24), 1536: (32, 48)}


@dataclass(frozen=True)
class PlateLayout:
    """A plate format and where the wells lie on it.

    Attributes
    ----------
    rows, cols : size of the plate.
    positions : well name -> (row, col), 0-based from A01.
    """

    rows: int
    cols: int
    positions: dict[str, tuple[int, int]]


def guess_layout(wells: Iterable[str]) -> PlateLayout | None:
    """The smallest plate of 96, 384 or 1536 wells that holds all; None if a name is no letters and number."""
    positions = {}
    for well in wells:
        position = well_position(well)
        if position is None:
            return None
        positions[well] = position
    for rows, cols in FORMATS.values():
        fits = all(row < rows and col < cols for row, col in positions.values())
        if fits:
            return PlateLayout(rows, cols, positions)
    return None


def well_position(well: str) -> tuple[int, int] | None:
    """(row, col), 0-based: `B03` and `b3` are (1, 2), `AA01` is (26, 0); None for other names."""
    match = WELL_NAME.match(well.strip().upper())
    if match is None:
        return None
    row = 0
    for letter in match[1]:
        row = row * 26 + ord(letter) - ord("A") + 1
    return row - 1, int(match[2]) - 1


def row_name(row: int) -> str:
    """The letters of a 0-based row: `A`, ..., `Z`, `AA`, ..."""
    return chr(ord("A") + row) if row < 26 else chr(ord("A") + row // 26 - 1) + chr(ord("A") + row % 26)
