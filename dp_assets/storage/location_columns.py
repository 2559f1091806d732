"""Which columns of a table of cells hold plate, well, site and the nucleus' centre.

CellProfiler, CytoTable and pycytominer name them differently. Where a table has several of them, the first of
each list counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dp_assets.config.errors import LocationsError
from dp_assets.storage.schemas import CENTER_X, CENTER_Y, PLATE, SITE, WELL

IDENTITIES: dict[str, tuple[str, ...]] = {name: (name, f"Image_{name}") for name in (PLATE, WELL, SITE)}

CENTRES: tuple[tuple[str, str], ...] = tuple(
    (f"{name}_X", f"{name}_Y")
    for name in (
        "Nuclei_Location_Center",
        "Metadata_Nuclei_Location_Center",
        "Nuclei_AreaShape_Center",
        "Metadata_Nuclei_AreaShape_Center",
        "Location_Center",
        "AreaShape_Center",
    )
)

OBJECT_NUMBERS = ("ObjectNumber", "Object_Number", "ImageNumber", "TableNumber")
"""Endings of columns that name a cell, rather than measure it."""

MOST_CARRIED = 64
"""A table with more columns is one of measurements, of which only those that name cells are carried along: a
plate of 400,000 cells with 3,500 measurements would take 11 GB."""

_NAMES_SHOWN = 40


@dataclass(frozen=True)
class TableColumns:
    """The columns of a table of cells, by their names in it.

    Attributes
    ----------
    plate : None in a table of one plate that does not name it.
    well, site : identifiers.
    x, y : the centre's column and row in pixels.
    carried : further columns that are kept.
    """

    plate: str | None
    well: str
    site: str
    x: str
    y: str
    carried: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """All columns that are read."""
        first = [name for name in (self.plate, self.well, self.site, self.x, self.y) if name is not None]
        return [*first, *self.carried]

    @property
    def renamed(self) -> dict[str, str]:
        """Their names in the table -> in `cell_locations`."""
        found = {self.well: WELL, self.site: SITE, self.x: CENTER_X, self.y: CENTER_Y}
        return found if self.plate is None else {**found, self.plate: PLATE}


def plate_column(columns: Sequence[str]) -> str | None:
    """The column with the plate; None when there is none."""
    return next((name for name in IDENTITIES[PLATE] if name in columns), None)


def recognise_columns(columns: Sequence[str], where: str) -> TableColumns:
    """The columns of a table of cells.

    Raises
    ------
    LocationsError : well, site or centre have no column; the message lists the columns found, and those that
        are understood.
    """
    identities = {
        key: next((name for name in names if name in columns), None) for key, names in IDENTITIES.items()
    }
    centre = next((pair for pair in CENTRES if set(pair) <= set(columns)), None)
    missing = [names for key, names in IDENTITIES.items() if key != PLATE and identities[key] is None]
    if missing or centre is None:
        understood = [" or ".join(names) for names in missing]
        if centre is None:
            understood.append(" or ".join(f"{x} and _Y" for x, _ in CENTRES))
        shown = ", ".join(columns[:_NAMES_SHOWN]) + (", ..." if len(columns) > _NAMES_SHOWN else "")
        raise LocationsError(
            f"the table has no column {'; no column '.join(understood)}; columns are: {shown}",
            where=where,
            remedy="rename the columns, or export them from CellProfiler or CytoTable",
        )
    used = {*identities.values(), *centre}
    # A second spelling of the same would come under the first one's name.
    taken = {*(name for names in IDENTITIES.values() for name in names), CENTER_X, CENTER_Y}
    others = [name for name in columns if name not in used | taken]
    if len(columns) > MOST_CARRIED:
        others = [name for name in others if names_a_cell(name)]
    return TableColumns(
        identities[PLATE], str(identities[WELL]), str(identities[SITE]), *centre, tuple(others)
    )


def names_a_cell(column: str) -> bool:
    """Whether a column identifies a cell rather than measures it."""
    return column.startswith(("Metadata_", "Image_Metadata_")) or column.endswith(OBJECT_NUMBERS)
