"""Cell locations in tables of whole plates: inputs/locations/<plate>.csv, or one table of many plates.

CSV or Parquet, as CellProfiler, CytoTable and pycytominer write them. Memory holds the cells of one plate.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from dp_assets.config.errors import LocationsError
from dp_assets.storage.csv_strings import csv_parts, read_csv_header
from dp_assets.storage.index_file import as_identifier
from dp_assets.storage.location_columns import (
    CENTRES,
    IDENTITIES,
    TableColumns,
    plate_column,
    recognise_columns,
)
from dp_assets.storage.locations_file import ENDING, check_centres, refuse_locations_elsewhere, typed_column
from dp_assets.storage.schemas import CENTER_X, CENTER_Y, PLATE, SITE, WELL

ENDINGS = (".csv", ".parquet")
_EXAMPLES = 5
_CENTRE_NAMES = frozenset(name for pair in CENTRES for name in pair)
_NO_CELLS = pd.DataFrame({WELL: [], SITE: [], CENTER_X: np.empty(0), CENTER_Y: np.empty(0)})


@dataclass(frozen=True)
class PlateCells:
    """The cells of a plate out of a table.

    Attributes
    ----------
    path : the table.
    frame : one row per cell in the table's order: well, site, centre and what is carried along.
    """

    path: Path | UPath
    frame: pd.DataFrame


def cells_from_tables(
    folder: Path | UPath, plate: str, sites: Sequence[tuple[str, str]], roots: Sequence[str] = ()
) -> PlateCells | None:
    """The cells of a plate, when they are in a table; None when there are no tables, or files per site.

    Parameters
    ----------
    folder : `inputs/locations`.
    sites : (well, site) of every field of view; rows of other fields are left out.
    roots : `image_roots` of the project: where links below the folder may lead.

    Returns
    -------
    Wells and sites are text, to be the same as in the index: "1" is not "01". Centres are float64, other
    columns as `locations_file.SiteLocations` has them.

    Raises
    ------
    LocationsError : a plate has cells in two tables, or in a table and in files per site; a table lacks
        columns; no row fits the plate or its sites; a centre is not a finite number.
    """
    tables = _tables(folder)
    if not tables:
        return None
    for path in tables:
        refuse_locations_elsewhere(path, folder, roots)
    listed = {path: _columns(path) for path in tables}
    found = [cells for path, columns in listed.items() if (cells := _cells(path, columns, plate)) is not None]
    files = _files_per_site(folder / plate)
    if len(found) + bool(files) > 1:
        raise _two_sources([*(str(cells.path) for cells in found), *files[:1]], plate)
    if files:
        return None
    if not found:
        raise _no_plate(listed, plate, folder)
    return PlateCells(found[0].path, _of_sites(found[0], plate, sites))


def _tables(folder: Path | UPath) -> list[Path | UPath]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()
    )


def _files_per_site(folder: Path | UPath) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(str(path) for path in folder.iterdir() if path.name.endswith(ENDING))


def _is_csv(path: Path | UPath) -> bool:
    return path.suffix.lower() == ".csv"


def _columns(path: Path | UPath) -> list[str]:
    if _is_csv(path):
        return read_csv_header(path, LocationsError)
    with path.open("rb") as stream:
        try:
            return pq.read_schema(stream).names
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error


def _cells(path: Path | UPath, columns: Sequence[str], plate: str) -> PlateCells | None:
    """A plate's cells in one table; None when the table is not about it."""
    own, named = path.stem == plate, plate_column(columns)
    if not own and named is None:
        return None
    if not columns:
        return PlateCells(path, _NO_CELLS)
    try:
        known = recognise_columns(columns, str(path))
    except LocationsError:
        if own or plate in _plates(path, columns):
            raise
        return None
    frame = _read(path, known, None if named is None else plate)
    if frame.empty:
        others = _plates(path, columns) if own and named is not None else []
        if others:
            raise LocationsError(
                f"the table is named after plate {plate}, but is about {_examples(others)}",
                where=f"{path}, column {named}",
                remedy="rename the file, or write the plate in it as in the index",
            )
        return PlateCells(path, _NO_CELLS) if own else None
    return PlateCells(path, frame)


def _parts(
    path: Path | UPath, columns: list[str], key: str | None, value: str | None
) -> Iterator[pd.DataFrame]:
    """Rows of a table, some at a time: those with `value` in column `key`, all when that is None.

    The index says which line (CSV) or row (Parquet, from 1) of the file.
    """
    if _is_csv(path):
        for part in csv_parts(path, LocationsError, len(_columns(path))):
            yield (part if value is None else part[part[key] == value])[columns]
        return
    with path.open("rb") as stream:
        try:
            file = pq.ParquetFile(stream, page_checksum_verification=True)
            first = 1
            for group in range(file.num_row_groups):
                rows = np.arange(file.metadata.row_group(group).num_rows)
                if key is not None and value is not None:
                    rows = np.flatnonzero(_text(file.read_row_group(group, [key])[key]) == value)
                if len(rows):
                    table = file.read_row_group(group, columns).take(rows)
                    yield _typed_rows(table, columns, pd.Index(rows + first, name="row"))
                first += file.metadata.row_group(group).num_rows
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error


def _typed_rows(table: pa.Table, columns: Sequence[str], index: pd.Index) -> pd.DataFrame:
    """Rows of a Parquet table: identifiers and whatever is no number as text, numbers as they are."""
    identifying = {name for names in IDENTITIES.values() for name in names}
    values = {}
    for name in columns:
        column = table[name]
        is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        is_text = name in identifying or (name.startswith("Metadata_") and name not in _CENTRE_NAMES)
        values[name] = _text(column) if is_text or not is_number else column.to_numpy()
    return pd.DataFrame(values, index=index)


def _text(column: pa.ChunkedArray) -> np.ndarray:
    """A column as strings a user would write for its values; empty for missing ones."""
    try:
        encoded = column.combine_chunks().dictionary_encode()
    except pa.ArrowNotImplementedError:
        return np.array([as_identifier(value) for value in column.to_pylist()], dtype=object)
    words = np.array([*(as_identifier(value) for value in encoded.dictionary.to_pylist()), ""], dtype=object)
    places = encoded.indices.fill_null(len(words) - 1) if encoded.null_count else encoded.indices
    return words[places.to_numpy(zero_copy_only=False)]


def _read(path: Path | UPath, known: TableColumns, plate: str | None) -> pd.DataFrame:
    parts = [part for part in _parts(path, known.names, known.plate, plate) if len(part)]
    if not parts:
        return _NO_CELLS
    # The index stays: messages name lines by it.
    return pd.concat(parts).drop(columns=[known.plate] if known.plate else []).rename(columns=known.renamed)


def _plates(path: Path | UPath, columns: Sequence[str]) -> list[str]:
    """The plates that a table lists, in order of first appearance."""
    key = plate_column(columns)
    if key is None:
        return []
    found: dict[str, None] = {}
    for part in _parts(path, [key], None, None):
        found.update(dict.fromkeys(part[key].unique().tolist()))
    return list(found)


def _of_sites(cells: PlateCells, plate: str, sites: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """The cells of the fields of view in the index, field by field in its order."""
    frame = cells.frame
    order = {key: number for number, key in enumerate(sites)}
    keys = list(zip(frame[WELL], frame[SITE], strict=True))
    places = np.array([order.get(key, -1) for key in keys], dtype=np.int64)
    if len(frame) and (places < 0).all():
        raise LocationsError(
            f"no row fits a field of view of plate {plate}: the table has well/site "
            f"{_examples(_paths(keys))}; the index has {_examples(_paths(sites))}",
            where=str(cells.path),
            remedy="write wells and sites as in the index; they are text, so 1 and 01 differ",
        )
    inside = np.flatnonzero(places >= 0)
    ordered = frame.iloc[inside[np.argsort(places[inside], kind="stable")]]
    check_centres(ordered, cells.path)
    text = [
        name for name in ordered.columns if ordered[name].dtype.kind not in "iuf" and name not in (WELL, SITE)
    ]
    return ordered.assign(**{name: typed_column(ordered[name]) for name in text}).reset_index(drop=True)


def _paths(keys: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{well}/{site}" for well, site in dict.fromkeys(keys)]


def _examples(values: Sequence[str]) -> str:
    shown = ", ".join(values[:_EXAMPLES])
    return shown + (", ..." if len(values) > _EXAMPLES else "")


def _two_sources(sources: Sequence[str], plate: str) -> LocationsError:
    return LocationsError(
        f"plate {plate} has cells in more than one place: {', '.join(sources)}",
        where="inputs/locations",
        remedy="keep one of them",
    )


def _no_plate(
    listed: Mapping[Path | UPath, Sequence[str]], plate: str, folder: Path | UPath
) -> LocationsError:
    """Tables there are, but none is about this plate."""
    found = []
    for path, columns in listed.items():
        plates = _plates(path, columns)
        what = f"has {_examples(plates)}" if plates else "names no plate"
        found.append(f"{path.name} {what}")
    return LocationsError(
        f"no table has cells of plate {plate}: {'; '.join(found[:_EXAMPLES])}",
        where=str(folder),
        remedy=f"write the plate as in the index in column {PLATE}, or name a table of one plate {plate}.csv",
    )


def _unreadable(path: Path | UPath, error: Exception) -> LocationsError:
    return LocationsError(
        f"the table cannot be read: {error}", where=str(path), remedy="save it as Parquet again, or as CSV"
    )
