"""Which well an image is of, for tables of features that only have CellProfiler's number of the image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dp_assets.config.errors import Problem
from dp_assets.interchange.annotation_files import AnnotationTable
from dp_assets.interchange.column_names import (
    IMAGE_ROLE,
    PLATE_ROLE,
    SITE_ROLE,
    TABLE_ROLE,
    WELL_ROLE,
    NamedColumns,
)
from dp_assets.interchange.table_batches import TableFileError
from dp_assets.storage.number_text import plain_number

_NUMBERS = (TABLE_ROLE, IMAGE_ROLE)
_TOLD = (PLATE_ROLE, WELL_ROLE, SITE_ROLE)


@dataclass(frozen=True)
class ImageWells:
    """The wells of the images of an image table.

    Attributes
    ----------
    source : the table they come from.
    key : which of "plate", "table" and "image" name an image in both tables.
    wells : their values -> (plate, well, site); plate and site are "" where the table does not tell them.
    """

    source: AnnotationTable
    key: tuple[str, ...]
    wells: dict[tuple[str, ...], tuple[str, str, str]]

    def find(self, columns: Mapping[str, np.ndarray]) -> list[tuple[str, str, str] | None]:
        """The (plate, well, site) of rows; None for images that the table does not list.

        Parameters
        ----------
        columns : role -> text of each row, for every role of `key`.
        """
        return [self.wells.get(key) for key in _keys([columns[role] for role in self.key])]


def image_wells(roles: Mapping[str, str], tables: Sequence[AnnotationTable]) -> ImageWells | None:
    """The first image table that tells the wells of a table of features.

    Parameters
    ----------
    roles : of the columns of the table of features; nothing is found when it has no image number.

    Raises
    ------
    TableFileError : two rows with the same numbers are of different wells.
    """
    if IMAGE_ROLE not in roles:
        return None
    for annotation in tables:
        found = NamedColumns(annotation.table.column_names).roles
        if IMAGE_ROLE in found and WELL_ROLE in found:
            shared = tuple(role for role in (PLATE_ROLE, *_NUMBERS) if role in found and role in roles)
            return ImageWells(annotation, shared, _wells(annotation, found, shared))
    return None


def _wells(
    annotation: AnnotationTable, roles: Mapping[str, str], key: tuple[str, ...]
) -> dict[tuple[str, ...], tuple[str, str, str]]:
    rows = annotation.table.num_rows
    told = [annotation.table[roles[role]].to_pylist() if role in roles else [""] * rows for role in _TOLD]
    names = [np.array(annotation.table[roles[role]].to_pylist(), dtype=object) for role in key]
    wells: dict[tuple[str, ...], tuple[str, str, str]] = {}
    for number, (image, well) in enumerate(zip(_keys(names), zip(*told, strict=True), strict=True)):
        if wells.setdefault(image, well) != well:
            named = ", ".join(f"{roles[role]} {value}" for role, value in zip(key, image, strict=True))
            raise TableFileError(
                [
                    Problem(
                        f"{named} is {_place(wells[image])} in one row and {_place(well)} in another",
                        f"{annotation.path}, row {number + 1}",
                        "give the features a column that tells plate and well, or both tables TableNumber",
                    )
                ]
            )
    return wells


def _keys(columns: Sequence[np.ndarray]) -> list[tuple[str, ...]]:
    """The keys of rows; numbers are equal however they are written."""
    known: dict[str, str] = {}
    texts = [[known.setdefault(text, plain_number(text) or text) for text in values] for values in columns]
    return list(zip(*texts, strict=True))


def _place(well: tuple[str, str, str]) -> str:
    return "/".join(part for part in well if part)
