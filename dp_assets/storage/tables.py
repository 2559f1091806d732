"""Parquet tables: written atomically, schema enforced, with what they are made from in the metadata."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from dp_assets.config.errors import StoreError
from dp_assets.storage.atomic import atomic_file
from dp_assets.storage.remote import open_stored
from dp_assets.storage.schemas import TableSchema

PROVENANCE_KEY = b"dp_assets"
COMPRESSION = "zstd"


@dataclass(frozen=True)
class TableStream:
    """A table too large for memory: its schema, and its row groups in order.

    Attributes
    ----------
    schema : column names and types.
    row_groups : yields one pyarrow table per row group; the same ones at every call, until `finished`.
    provenance : what the table was made from; goes into the Parquet schema metadata.
    finished : called after the table has been published (clears the work folder).
    """

    schema: pa.Schema
    row_groups: Callable[[], Iterator[pa.Table]]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    finished: Callable[[], None] = lambda: None


def with_provenance(table: pa.Table, **provenance: Any) -> pa.Table:
    """`table` with JSON-able facts about its making in the schema metadata (added to those already there)."""
    merged = {**read_provenance(table.schema), **provenance}
    others = {k: v for k, v in (table.schema.metadata or {}).items() if k != PROVENANCE_KEY}
    return table.replace_schema_metadata(
        {**others, PROVENANCE_KEY: json.dumps(merged, sort_keys=True).encode()}
    )


def read_provenance(schema: pa.Schema) -> dict[str, Any]:
    """The facts that `with_provenance` stored; empty when there are none."""
    return json.loads((schema.metadata or {}).get(PROVENANCE_KEY, b"{}"))


def write_table(path: Path | UPath, table: pa.Table | TableStream, schema: TableSchema) -> int:
    """Write a table or a stream of row groups to `path` and return the number of rows.

    Dictionary encoding is off (features do not repeat), compression is zstd. Raises StoreError when the table
    does not fit `schema`; nothing is published then.
    """
    if isinstance(table, TableStream):
        return _write_stream(path, table, schema)
    schema.enforce(table)
    with atomic_file(path) as stream:
        pq.write_table(table, stream, **_writing(table.schema))
    return table.num_rows


def _write_stream(path: Path | UPath, stream: TableStream, schema: TableSchema) -> int:
    problems = schema.schema_problems(stream.schema)
    if problems:
        raise StoreError(problems)
    described = with_provenance(stream.schema.empty_table(), **stream.provenance).schema
    rows = 0
    with (
        atomic_file(path) as sink,
        pq.ParquetWriter(sink, described, **_writing(described)) as writer,
    ):
        for group in stream.row_groups():
            writer.write_table(
                group.replace_schema_metadata(described.metadata), row_group_size=max(1, len(group))
            )
            rows += len(group)
    return rows


def _writing(schema: pa.Schema) -> dict[str, Any]:
    """How tables are written: strings repeat (plates, wells), numbers do not; every page has a checksum."""
    return {
        "compression": COMPRESSION,
        "use_dictionary": [field.name for field in schema if pa.types.is_string(field.type)],
        "write_page_checksum": True,
    }


def read_table(path: Path | UPath, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet table. Raises FileNotFoundError when it is not there, StoreError when damaged."""
    with open_stored(path) as stream:
        try:
            return pq.read_table(stream, columns=columns, page_checksum_verification=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(path, error) from error


@dataclass(frozen=True)
class StoredTable:
    """A table on disk that is read a row group at a time.

    Attributes
    ----------
    path : the Parquet file.
    """

    path: Path | UPath

    def schema(self) -> pa.Schema:
        """Columns, types and metadata, without reading rows."""
        with open_stored(self.path) as stream:
            try:
                return pq.read_schema(stream)
            except (pa.ArrowInvalid, OSError) as error:
                raise _damaged(self.path, error) from error

    def row_count(self) -> int:
        """The number of rows, from the file's footer."""
        with open_stored(self.path) as stream:
            try:
                return pq.ParquetFile(stream).metadata.num_rows
            except (pa.ArrowInvalid, OSError) as error:
                raise _damaged(self.path, error) from error

    def row_groups(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The row groups in order; memory holds one at a time."""
        with open_stored(self.path) as stream:
            try:
                file = pq.ParquetFile(stream, page_checksum_verification=True)
                for number in range(file.num_row_groups):
                    yield file.read_row_group(number, columns=columns)
            except (pa.ArrowInvalid, OSError) as error:
                raise _damaged(self.path, error) from error

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """The whole table."""
        return read_table(self.path, columns)


def _damaged(path: Path | UPath, error: Exception) -> StoreError:
    return StoreError(
        f"the table cannot be read: {error}",
        where=str(path),
        remedy="delete the file and materialize its asset again",
    )
