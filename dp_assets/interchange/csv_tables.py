"""CSV files of other programs, read in blocks: with commas, semicolons or tabs, packed or not."""

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from dp_assets.interchange.table_batches import (
    NO_NUMBER,
    TableBatch,
    TableColumn,
    TableFileError,
    as_matrix,
    as_text,
)

DELIMITERS = (",", ";", "\t", "|")
_BLOCK_BYTES = 2**24
# A block has to hold whole rows.
_LONGEST_ROW = 2**30
_SAMPLE_ROWS = 50
_LONGEST_VALUE_SHOWN = 80
_DECIMAL_COMMA = re.compile(r"^([+-]?\d+),(\d+(?:[eE][+-]?\d+)?)$")
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_NO_NUMBERS = frozenset(NO_NUMBER)
_FLAGS = frozenset({"true", "false"})
_FLAG_SPELLINGS = {"true_values": ["true", "True", "TRUE"], "false_values": ["false", "False", "FALSE"]}


@dataclass(frozen=True)
class CsvTable:
    """A CSV file.

    Attributes
    ----------
    path : the file.
    columns : its columns in order.
    delimiter, decimal : what stands between values, and in numbers.
    compressed : by gzip.
    flags : columns of true and false.
    longest_row : bytes of the longest of the first lines.
    empty : there is nothing below the header.
    """

    path: Path
    columns: tuple[TableColumn, ...]
    delimiter: str
    decimal: str
    compressed: bool
    flags: frozenset[str]
    longest_row: int
    empty: bool

    def batches(self, numbers: Sequence[str], texts: Sequence[str]) -> Iterator[TableBatch]:
        """The rows in order, a block of the file at a time (see `table_files.TableFile`)."""
        if self.empty:
            return
        wanted = list(dict.fromkeys((*numbers, *texts)))
        if not wanted:
            return
        first_row = 1
        with self._readable(numbers):
            for block in self._blocks(wanted, frozenset(numbers)):
                found = dict(zip(block.schema.names, block.columns, strict=True))
                values = [_as_numbers(found[name]) for name in numbers]
                yield TableBatch(
                    first_row,
                    as_matrix(values, block.num_rows),
                    {name: self._text(name, found[name]) for name in texts},
                )
                first_row += block.num_rows

    def _text(self, name: str, values: pa.Array) -> pa.Array:
        """Text as it is in the file, but numbers with a point."""
        text = as_text(values)
        if self.decimal == "," and any(c.name == name and c.kind == "number" for c in self.columns):
            return pc.replace_substring_regex(text, _DECIMAL_COMMA.pattern, r"\1.\2")
        return text

    def _blocks(self, wanted: list[str], numbers: frozenset[str]) -> Iterator[pa.RecordBatch]:
        kinds = {
            name: pa.bool_()
            if name in numbers and name in self.flags
            else pa.float32()
            if name in numbers
            else pa.string()
            for name in wanted
        }
        with self.path.open("rb") as raw:
            stream = pa.CompressedInputStream(raw, "gzip") if self.compressed else raw
            yield from pa_csv.open_csv(
                stream,
                read_options=pa_csv.ReadOptions(
                    block_size=min(_LONGEST_ROW, max(_BLOCK_BYTES, 8 * self.longest_row)),
                    column_names=[column.name for column in self.columns],
                    skip_rows_after_names=1,
                ),
                parse_options=pa_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                convert_options=pa_csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=kinds,
                    null_values=list(NO_NUMBER),
                    strings_can_be_null=False,
                    decimal_point=self.decimal,
                    **_FLAG_SPELLINGS,
                ),
            )

    @contextmanager
    def _readable(self, numbers: Sequence[str]) -> Iterator[None]:
        """Turn what the reader raises into a message that names line and column."""
        try:
            yield
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._fault(numbers) or TableFileError(
                f"the file cannot be read: {error}",
                where=str(self.path),
                remedy="export the table again as UTF-8 CSV, or copy it again when it was packed",
            ) from error

    def _fault(self, numbers: Sequence[str]) -> TableFileError | None:
        """The first line that is no row of this table; None when none is found."""
        places = {column.name: place for place, column in enumerate(self.columns)}
        wanted = [(name, places[name]) for name in numbers if name not in self.flags]
        with text_lines(self.path, self.compressed) as lines:
            rows = csv.reader(lines, delimiter=self.delimiter)
            for row in islice(rows, 1, None):
                if not row:
                    continue
                where = f"{self.path}, line {rows.line_num}"
                if len(row) != len(self.columns):
                    return TableFileError(
                        f"the line has {len(row)} values; the header has {len(self.columns)} columns",
                        where=where,
                        remedy="export the table again; the file may be cut off, or a value hold a "
                        f"{'tab' if self.delimiter == chr(9) else self.delimiter} without quotes",
                    )
                for name, place in wanted:
                    if not is_number(row[place], self.decimal):
                        return not_a_number(row[place], f"{where}, column {name}")
        return None


def open_csv_table(path: Path, *, compressed: bool) -> CsvTable:
    """Look at the header and the first rows of a CSV file.

    Raises
    ------
    TableFileError : the text is not UTF-8, or columns occur twice.
    """
    with text_lines(path, compressed) as lines:
        first = lines.readline()
        if not first.strip():
            raise TableFileError(
                "the first line is empty", where=str(path), remedy="let the file begin with its header"
            )
        delimiter = _delimiter(first)
        reader = csv.reader(_chained(first, lines), delimiter=delimiter)
        header = [name.strip() for name in next(reader)]
        sample = [row for row in islice(reader, _SAMPLE_ROWS) if row]
    names = [name or f"Unnamed: {place}" for place, name in enumerate(header)]
    refuse_doubled(names, f"{path}, line 1")
    decimal = _decimal(sample, delimiter)
    columns = list(zip(*(row for row in sample if len(row) == len(names)), strict=True))
    kinds = [_kind(values, decimal) for values in columns] or ["number"] * len(names)
    longest = max(len(first), *(sum(map(len, row)) + len(row) for row in (header, *sample)))
    return CsvTable(
        path=path,
        columns=tuple(
            TableColumn(name, "text" if kind == "text" else "number")
            for name, kind in zip(names, kinds, strict=True)
        ),
        delimiter=delimiter,
        decimal=decimal,
        compressed=compressed,
        flags=frozenset(name for name, kind in zip(names, kinds, strict=True) if kind == "flag"),
        longest_row=4 * longest,
        empty=not sample,
    )


def refuse_doubled(names: Sequence[str], where: str) -> None:
    """Raise TableFileError when two columns have one name."""
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise TableFileError(
            f"more than one column is called {', '.join(map(repr, doubled[:5]))}"
            + (f" (and {len(doubled) - 5} more names)" if len(doubled) > 5 else ""),
            where=where,
            remedy="rename or remove all but one",
        )


def not_a_number(value: str, where: str) -> TableFileError:
    """The error for a feature that is no number."""
    return TableFileError(
        f"{value[:_LONGEST_VALUE_SHOWN]!r} is no number, but the column is taken for a feature",
        where=where,
        remedy="correct the value; or when the column is no feature, rename it to Metadata_..., or name the "
        "features in features.feature_columns",
    )


def is_number(text: str, decimal: str = ".") -> bool:
    """Whether a value of a column of numbers can be read; missing values can."""
    text = text.strip()
    if text in _NO_NUMBERS:
        return True
    try:
        float(text if decimal == "." else text.replace(decimal, "."))
    except ValueError:
        return False
    return "_" not in text


@contextmanager
def text_lines(path: Path, compressed: bool) -> Iterator[io.TextIOBase]:
    """The text of a CSV file. Raises TableFileError, also inside the block, when it cannot be read."""
    try:
        with gzip.open(path, "rb") if compressed else path.open("rb") as raw:
            yield io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    except UnicodeDecodeError as error:
        raise TableFileError(
            f"the text is not UTF-8: {error.reason} (byte {error.object[error.start]:#04x})",
            where=str(path),
            remedy="save it as CSV in UTF-8",
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TableFileError(
            f"the packed file is cut off or damaged ({error})",
            where=str(path),
            remedy="copy or download it again",
        ) from error
    except csv.Error as error:
        raise TableFileError(
            f"the file is no CSV: {error}",
            where=str(path),
            remedy="export the table again; a quote may not be closed",
        ) from error


def _chained(first: str, lines: io.TextIOBase) -> Iterator[str]:
    yield first
    yield from lines


def _delimiter(header: str) -> str:
    """What the header is cut by: the one that occurs most outside quotes."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(DELIMITERS, key=bare.count)


def _decimal(sample: Sequence[Sequence[str]], delimiter: str) -> str:
    """A decimal comma, when there are numbers with a comma and none with a point."""
    values = [value.strip() for row in sample for value in row]
    commas = any(_DECIMAL_COMMA.fullmatch(value) for value in values)
    points = any(_DECIMAL_POINT.fullmatch(value) for value in values)
    return "," if delimiter != "," and commas and not points else "."


def _kind(values: Sequence[str], decimal: str) -> str:
    """What a column's first values are: "number", "flag" or "text"."""
    if all(is_number(value, decimal) for value in values):
        return "number"
    told = {value.strip().lower() for value in values if value.strip() not in _NO_NUMBERS}
    return "flag" if told <= _FLAGS else "text"


def _as_numbers(values: pa.Array) -> np.ndarray:
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8()).cast(pa.float32())
    return values.to_numpy(zero_copy_only=False)
