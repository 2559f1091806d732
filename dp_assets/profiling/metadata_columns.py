"""The metadata columns of a table, found by name and read as clean text and numbers."""

import re
from collections.abc import Sequence

import pyarrow as pa

from dp_assets.config.errors import Problem
from dp_assets.config.validation import nearest_name
from dp_assets.profiling.profile_tables import METADATA, metadata_names
from dp_assets.storage.number_text import plain_number

# Texts that stand for no value. "Na" is sodium, and "none" may be the name of a treatment.
_NOTHING = ("", "NA", "<NA>")
_WITH_DOSE = re.compile(r"(?P<name>.+)@(?P<dose>[^@]+)", re.DOTALL)
# Tables are read without this prefix.
_OF_CELLPROFILER = re.compile(r"^Image_Metadata_", re.IGNORECASE)
_MOST_SHOWN = 40


class MetadataColumns:
    """The `Metadata_*` columns of a table.

    Names are compared without `Metadata_` and without regard to case; of several that differ only in case the
    one that is written alike comes first.

    Parameters
    ----------
    table : a table of profiles or annotations.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.names = metadata_names(table)

    def find(self, name: str) -> str | None:
        """The column called `name`, or None; a name as CellProfiler writes it is understood too."""
        for bare in (name.removeprefix(METADATA), _OF_CELLPROFILER.sub("", name)):
            wanted = METADATA + bare
            alike = [column for column in self.names if column.casefold() == wanted.casefold()]
            if alike:
                return wanted if wanted in alike else alike[0]
        return None

    def first(self, names: Sequence[str]) -> str | None:
        """The first of these columns that is there, or None."""
        found = (self.find(name) for name in names)
        return next((column for column in found if column is not None), None)

    def values(self, column: str | None) -> list[str]:
        """The text of each row, "" where there is none; of no column, "" throughout."""
        if column is None:
            return [""] * self._table.num_rows
        return [clean(value) for value in self._table[column].to_pylist()]

    def absent(self, name: str, key: str) -> Problem:
        """The problem that there is no column `name`, which the configuration key asks for."""
        plain = [column.removeprefix(METADATA) for column in self.names]
        nearest = nearest_name(name.removeprefix(METADATA), plain)
        hint = f'; the nearest is "{nearest}"' if nearest else ""
        shown = ", ".join(plain[:_MOST_SHOWN]) or "none"
        more = f" and {len(plain) - _MOST_SHOWN} more" if len(plain) > _MOST_SHOWN else ""
        return Problem(
            f'the profiles have no metadata column "{name}"{hint}; there are: {shown}{more}',
            key,
            f"Name a column that is there in {key}, or add the column to the image index or to a table "
            "of profiles.annotations.",
        )


def clean(value: str | None) -> str:
    """A value without spaces around it; "" for None, "nan" and "NA"."""
    text = "" if value is None else str(value).strip()
    return "" if text in _NOTHING or text.lower() == "nan" else text


def shortened(text: str) -> str:
    """The text, in its shortest form when it is a number."""
    return plain_number(text) or text


def split_dose(text: str) -> tuple[str, str]:
    """`name@dose` as (name, dose), the dose in its shortest form; (text, "") when it is not written so."""
    match = _WITH_DOSE.fullmatch(text)
    dose = plain_number(match["dose"].strip()) if match else None
    return (match["name"].strip(), dose) if match and dose is not None else (text, "")
