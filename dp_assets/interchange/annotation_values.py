"""The values that an annotation table has for the rows of another table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from dp_assets.storage.number_text import plain_number

Key = tuple[str, ...]

_WITH_FRACTION = re.compile(r".*[.eE].*")
_SHOWN = 3


@dataclass
class RowValues:
    """Which entries of an annotation table are about which rows.

    Attributes
    ----------
    rows : key of each row of the profiles.
    entries : key of each row of the annotation table. Keys without any value mean nothing.
    """

    rows: list[Key]
    entries: list[Key]
    _of_key: dict[Key, list[int]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        wanted = {key for key in self.rows if any(key)}
        for number, key in enumerate(self.entries):
            if key in wanted:
                self._of_key.setdefault(key, []).append(number)

    @property
    def matched(self) -> int:
        """Rows with at least one entry."""
        return sum(key in self._of_key for key in self.rows)

    @property
    def without_entry(self) -> list[Key]:
        """Keys of the rows without one."""
        return [key for key in self.rows if key not in self._of_key]

    def values(self, column: Sequence[str]) -> list[str]:
        """A column's value for each row: the first that is not empty; "" where there is none."""
        told = {
            key: next((column[number] for number in numbers if column[number]), "")
            for key, numbers in self._of_key.items()
        }
        return [told.get(key, "") for key in self.rows]

    def contradiction(self, column: Sequence[str]) -> str | None:
        """The first key with several values, and these; None where every key has one at most."""
        for key, numbers in self._of_key.items():
            if len(numbers) > 1:
                found = dict.fromkeys(column[number] for number in numbers if column[number])
                if len(found) > 1:
                    more = ", ..." if len(found) > _SHOWN else ""
                    return f"{'/'.join(key)} has {', '.join(list(found)[:_SHOWN])}{more}"
        return None


def values_by_key(table: pa.Table, found: RowValues) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The columns of an annotation table that have one value for every key.

    Returns
    -------
    column -> value of each row of the profiles; and column -> the contradiction, for the others.
    """
    values, left_out = {}, {}
    for name in table.column_names:
        column = _plain_numbers(table[name].to_pylist())
        contradiction = found.contradiction(column)
        if contradiction is None:
            values[name] = found.values(column)
        else:
            left_out[name] = contradiction
    return values, left_out


def same_number(text: str) -> str:
    """A form that is equal for equal numbers; other text without spaces around it."""
    text = text.strip()
    return plain_number(text) or text


def _plain_numbers(values: list[str]) -> list[str]:
    """A column of numbers in their shortest form; whole numbers stay, since 007 may be a name."""
    distinct = {value: plain_number(value) for value in dict.fromkeys(values) if value}
    if any(number is None for number in distinct.values()):
        return values
    shortest = {value: number or "" for value, number in distinct.items() if _WITH_FRACTION.fullmatch(value)}
    return [shortest.get(value, value) for value in values]
