"""Parquet tables of other programs, read in batches; columns of lists of numbers are taken apart."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dp_assets.interchange.csv_tables import is_number, not_a_number, refuse_doubled
from dp_assets.interchange.table_batches import (
    NO_NUMBER,
    TableBatch,
    TableColumn,
    TableFileError,
    as_matrix,
    as_text,
)

_VALUES_AT_ONCE = 2**22
_MOST_PLACES = 2**17


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file.

    Attributes
    ----------
    path : the file.
    columns : its columns in order; a column of lists `all_emb` stands here as `all_emb_0`, `all_emb_1`, ...
    places : name of such a column -> (column in the file, place in the list).
    """

    path: Path
    columns: tuple[TableColumn, ...]
    places: dict[str, tuple[str, int]]

    def batches(self, numbers: Sequence[str], texts: Sequence[str]) -> Iterator[TableBatch]:
        """The rows in order, some at a time (see `table_files.TableFile`)."""
        stored = list(dict.fromkeys(self.places.get(name, (name, 0))[0] for name in (*numbers, *texts)))
        if not stored:
            return
        first_row = 1
        rows = max(1, _VALUES_AT_ONCE // (len(numbers) + len(texts)))
        with _readable(self.path), self.path.open("rb") as stream:
            for block in pq.ParquetFile(stream, page_checksum_verification=True).iter_batches(
                batch_size=rows, columns=stored
            ):
                found = dict(zip(block.schema.names, block.columns, strict=True))
                matrices = {
                    name: self._matrix(values, name, first_row)
                    for name, values in found.items()
                    if _is_list(values.type)
                }
                values = [self._values(name, found, matrices, first_row) for name in numbers]
                yield TableBatch(
                    first_row,
                    as_matrix(values, block.num_rows),
                    {name: as_text(found[name]) for name in texts},
                )
                first_row += block.num_rows

    def _values(
        self, name: str, found: dict[str, pa.Array], matrices: dict[str, np.ndarray], first_row: int
    ) -> np.ndarray:
        if name in self.places:
            column, place = self.places[name]
            return matrices[column][:, place]
        return self._numbers(found[name], name, first_row)

    def _numbers(self, values: pa.Array, name: str, first_row: int) -> np.ndarray:
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.uint8())
        if not _is_number(values.type):
            values = self._parsed(values, name, first_row)
        # Numbers beyond float32 become infinite, and count as missing.
        return values.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)

    def _parsed(self, values: pa.Array, name: str, first_row: int) -> pa.Array:
        """Numbers that the file holds as text."""
        text = as_text(values)
        missing = pc.is_in(text, value_set=pa.array(NO_NUMBER, pa.string()))
        try:
            return pc.if_else(missing, None, text).cast(pa.float64())
        except pa.ArrowInvalid:
            for row, value in enumerate(text.to_pylist()):
                if not is_number(value):
                    raise not_a_number(value, self._where(first_row + row, name)) from None
            raise

    def _matrix(self, values: pa.Array, name: str, first_row: int) -> np.ndarray:
        """A column of lists as (rows, places) float32; rows without a list are NaN."""
        width = sum(1 for column, _ in self.places.values() if column == name)
        lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(~np.isnan(lengths) & (lengths != width))
        if len(wrong):
            row = int(wrong[0])
            raise TableFileError(
                f"the list has {int(lengths[row])} numbers; the first one has {width}",
                where=self._where(first_row + row, name),
                remedy="export the embeddings of one network at a time",
            )
        matrix = np.full((len(values), width), np.nan, np.float32)
        filled = values.filter(values.is_valid())
        numbers = pc.list_flatten(filled).cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
        matrix[values.is_valid().to_numpy(zero_copy_only=False)] = numbers.reshape(-1, width)
        return matrix

    def _where(self, row: int, name: str) -> str:
        return f"{self.path}, row {row}, column {name}"


def open_parquet_table(path: Path) -> ParquetTable:
    """Look at the schema of a Parquet file, and at the first list of columns of lists.

    Raises
    ------
    TableFileError : the file is damaged, columns occur twice, or a list is no list of numbers.
    """
    with _readable(path), path.open("rb") as stream:
        file = pq.ParquetFile(stream, page_checksum_verification=True)
        schema = file.schema_arrow
        refuse_doubled([name.strip() for name in schema.names], str(path))
        columns: list[TableColumn] = []
        places: dict[str, tuple[str, int]] = {}
        for field in schema:
            if _is_list(field.type):
                names = [f"{field.name}_{place}" for place in range(_width(file, field, path))]
                columns += [TableColumn(name, "number") for name in names]
                places |= {name: (field.name, place) for place, name in enumerate(names)}
            else:
                columns.append(TableColumn(field.name, "number" if _holds_numbers(field.type) else "text"))
    refuse_doubled([column.name for column in columns], str(path))
    return ParquetTable(path, tuple(columns), places)


def _width(file: pq.ParquetFile, field: pa.Field, path: Path) -> int:
    """How many numbers the first list of a column holds."""
    for block in file.iter_batches(batch_size=64, columns=[field.name]):
        lengths = pc.drop_null(pc.list_value_length(block.column(0)))
        if len(lengths):
            width = lengths[0].as_py()
            if width > _MOST_PLACES:
                raise TableFileError(
                    f"the first list has {width:,} numbers, more than {_MOST_PLACES:,}",
                    where=f"{path}, column {field.name}",
                    remedy="leave the column out of the file",
                )
            return width
    return 0


def _is_list(kind: pa.DataType) -> bool:
    """A list of numbers; lists of other things are text."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return is_list and _is_number(kind.value_type)


def _is_number(kind: pa.DataType) -> bool:
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    )


def _holds_numbers(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return _is_number(kind) or pa.types.is_boolean(kind)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise TableFileError(
            f"the Parquet file cannot be read: {error}",
            where=str(path),
            remedy="copy or export it again; it may be cut off",
        ) from error
