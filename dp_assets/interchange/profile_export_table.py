"""Profiles as one CSV or Parquet file."""

import gzip
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from dp_assets.interchange.export_targets import require_free
from dp_assets.storage.atomic import atomic_file

# What every reader of Parquet can unpack.
COMPRESSION = "snappy"


def export_csv(
    table: pa.Table, path: Path, *, number_format: str | None = None, overwrite: bool = False
) -> Path:
    """Write profiles as CSV, compressed when the name ends in `.gz`.

    Parameters
    ----------
    table : `Metadata_*` strings and float32 features.
    number_format : such as "%.5g"; None for as many digits as the numbers have.

    Raises
    ------
    ProjectError : the file is there, and may not be overwritten.
    """
    require_free([path], overwrite=overwrite)
    with atomic_file(path) as stream, _packed(stream, path.suffix.lower() == ".gz") as sink:
        table.to_pandas().to_csv(sink, index=False, float_format=number_format, lineterminator="\n")
    return path


def _packed(stream: IO[bytes], gzipped: bool) -> AbstractContextManager[Any]:
    # Without name and time in its head, the file of the same profiles is the same file.
    return gzip.GzipFile("", "wb", fileobj=stream, mtime=0) if gzipped else nullcontext(stream)


def export_parquet(table: pa.Table, path: Path, *, overwrite: bool = False) -> Path:
    """Write profiles as Parquet; parameters and errors as for `export_csv`."""
    require_free([path], overwrite=overwrite)
    with atomic_file(path) as stream:
        pq.write_table(table, stream, compression=COMPRESSION, write_page_checksum=True)
    return path
