"""Tables that tell more of wells, images or treatments: image tables, plate maps, mechanisms of action."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from dp_assets.interchange.table_batches import TableFileError
from dp_assets.interchange.table_files import is_table_name, read_text_columns

_SHOWN = 20


@dataclass(frozen=True)
class AnnotationTable:
    """A table of annotations.

    Attributes
    ----------
    path : the file.
    table : all its columns as strings; missing values are "".
    """

    path: Path
    table: pa.Table


def read_annotation(path: Path) -> AnnotationTable:
    """Read a CSV, TSV or Parquet table, packed by gzip or not; `moa.csv` also stands for `moa.csv.gz`.

    Raises
    ------
    TableFileError : the file is not there, is empty or damaged, has no rows, or columns of one name.
    """
    found = _find(path)
    table = read_text_columns(found)
    if table.num_rows == 0:
        raise TableFileError(
            "the table has no rows",
            where=str(found),
            remedy="export it again, or leave it out of the list",
        )
    return AnnotationTable(found, table)


def _find(path: Path) -> Path:
    unpacked = path.with_name(path.name.removesuffix(".gz"))
    for candidate in (path, path.with_name(f"{path.name}.gz"), unpacked):
        if candidate.is_file():
            return candidate
    folder = path.parent
    there = sorted(p.name for p in folder.iterdir() if is_table_name(p)) if folder.is_dir() else []
    raise TableFileError(
        f"the annotation table is not there; tables in its folder are: {', '.join(there[:_SHOWN]) or 'none'}",
        where=str(path),
        remedy="put it into inputs/metadata, or correct its name in profiles.annotations",
    )
