"""Tables of other programs, opened by what is in the file: CSV and its relatives, or Parquet."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from dp_assets.interchange.csv_tables import open_csv_table
from dp_assets.interchange.parquet_tables import open_parquet_table
from dp_assets.interchange.table_batches import TableBatch, TableColumn, TableFileError

ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".pq")
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_START_BYTES = 4096
# First bytes of files that people take for tables -> what they are, and what to do.
_OTHERS = {
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV"),
    b"SQLite format 3": ("a SQLite database", "turn it into Parquet with CytoTable, or export it as CSV"),
    b"\x89HDF": ("an HDF5 file", "export it as CSV or Parquet"),
    b"\x28\xb5\x2f\xfd": ("packed with zstandard", "unpack it, or pack it with gzip"),
    b"BZh": ("packed with bzip2", "unpack it, or pack it with gzip"),
    b"\xfd7zXZ": ("packed with xz", "unpack it, or pack it with gzip"),
    b"ARROW1": ("an Arrow file", "save it as Parquet"),
    b"version https://git-lfs": (
        "a pointer to a file that git LFS has not fetched",
        "fetch the file itself (git lfs pull)",
    ),
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class TableFile(Protocol):
    """A table on disk that is read some rows at a time."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def columns(self) -> tuple[TableColumn, ...]:
        """Its columns in order. A column of lists of numbers stands here as one column per place."""

    def batches(self, numbers: Sequence[str], texts: Sequence[str]) -> Iterator[TableBatch]:
        """The rows in order, some at a time; `numbers` as float32, `texts` as trimmed strings.

        Raises TableFileError, naming file, row and column, where a value cannot be read.
        """


def is_table_name(path: Path) -> bool:
    """Whether a file's name is that of a table, packed or not."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith(ENDINGS) and not path.name.startswith((".", "_"))


def table_stem(path: Path) -> str:
    """The file's name without the endings of tables: `P1` of `P1.csv.gz`."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    ending = next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def open_table(path: Path) -> TableFile:
    """Look into a table: its format, columns and what they hold.

    Raises
    ------
    TableFileError : the file is not there, is empty, damaged or no table; columns have no name of their own.
    """
    start = _first_bytes(path)
    if start.startswith(_PARQUET):
        return open_parquet_table(path)
    compressed = start.startswith(_GZIP)
    if compressed:
        start = _first_unpacked_bytes(path)
    _check_text(path, start)
    return open_csv_table(path, compressed=compressed)


def read_text_columns(path: Path) -> pa.Table:
    """A whole table as strings; missing values are empty. Raises as `open_table`."""
    table = open_table(path)
    names = [column.name for column in table.columns if column.name.strip()]
    schema = pa.schema([(name, pa.string()) for name in names])
    parts = [
        pa.table([batch.texts[name] for name in names], schema=schema) for batch in table.batches((), names)
    ]
    return pa.concat_tables([schema.empty_table(), *parts])


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            start = stream.read(_START_BYTES)
    except OSError as error:
        raise TableFileError(
            f"the table cannot be opened: {error.strerror or error}",
            where=str(path),
            remedy="correct its name, or put the file there",
        ) from error
    if not start:
        raise TableFileError(
            "the file is empty", where=str(path), remedy="export the table again, or leave the file out"
        )
    for signature, (what, remedy) in _OTHERS.items():
        if start.startswith(signature):
            raise TableFileError(f"the file is {what}", where=str(path), remedy=remedy)
    return start


def _first_unpacked_bytes(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as stream:
            return stream.read(_START_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise TableFileError(
            f"the packed file is cut off or damaged ({error})",
            where=str(path),
            remedy="copy or download it again",
        ) from error


def _check_text(path: Path, start: bytes) -> None:
    if start.startswith(_UTF16):
        raise TableFileError(
            "the text is UTF-16", where=str(path), remedy="save it as CSV in UTF-8 (Excel: CSV UTF-8)"
        )
    if not start.strip(b"\xef\xbb\xbf \t\r\n"):
        raise TableFileError(
            "the file holds no header", where=str(path), remedy="export the table again, or leave it out"
        )
    if b"\x00" in start:
        raise TableFileError(
            "the file is no text and no Parquet",
            where=str(path),
            remedy="give a CSV, TSV (also .gz) or Parquet file",
        )
