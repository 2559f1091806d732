"""The tables that describe one plate: images, annotations and cells, made from the index and the files."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from dp_assets.config.errors import (
    ImageFileError,
    ImageIndexError,
    LocationsError,
    Problem,
    ProjectError,
)
from dp_assets.storage.image_bytes import DEFAULT_MAXIMUM_PIXELS
from dp_assets.storage.image_planes import Projection
from dp_assets.storage.index_file import IndexLocation, locate_image, resolve_image
from dp_assets.storage.location_tables import cells_from_tables
from dp_assets.storage.locations_file import locations_path, read_locations, refuse_locations_elsewhere
from dp_assets.storage.read_ahead import read_ahead
from dp_assets.storage.schemas import (
    CELL,
    CELL_LOCATIONS,
    CENTER_X,
    CENTER_Y,
    PLATE,
    PLATE_ANNOTATIONS,
    PLATE_IMAGES,
    SITE,
    SITE_KEY,
    WELL,
)
from dp_assets.storage.site_files import describe_file, files_of_site
from dp_assets.storage.tables import with_provenance

VERSION = "2"
"""Of `plate_images`: fingerprints of files are BLAKE3."""

Progress = Callable[[int, int], None]


def plate_rows(index: pa.Table, plate: str) -> pa.Table:
    """The rows of one plate, wells together in order of first appearance.

    Raises
    ------
    ProjectError : the index does not list the plate.
    """
    rows = index.filter(pc.equal(index[PLATE], plate))
    if rows.num_rows == 0:
        raise ProjectError(
            f"the image index does not list plate {plate}",
            where="image_index",
            remedy="add it to inputs/metadata/index.csv and materialize image_index, or delete the partition",
        )
    wells = rows[WELL].to_pylist()
    first = {well: number for number, well in enumerate(dict.fromkeys(wells))}
    order = sorted(range(len(wells)), key=lambda row: first[wells[row]])
    return rows.take(order)


def describe_plate_images(
    index: pa.Table,
    plate: str,
    channels: Sequence[str],
    location: IndexLocation,
    *,
    bits: int,
    workers: int,
    z: int | Projection | None = None,
    maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS,
    progress: Progress = lambda *_: None,
) -> pa.Table:
    """One row per site and channel: path, size, type and content fingerprint of every image of a plate.

    Every file is read once, however many channels it holds. An image that is missing, damaged, or unlike the
    rest of the plate gets the reason in column `problem` instead of stopping the plate.

    Parameters
    ----------
    z : `dataset.images.z`, for stacks whose path does not say which plane is meant.

    Returns
    -------
    Table of schema `plate_images`, sites in the order of `plate_rows`. Column `path` says which plane of a
    file is meant where the file has several.
    """
    rows = plate_rows(index, plate).to_pylist()
    files = [
        file
        for number, row in enumerate(rows)
        for file in files_of_site(number, row, tuple(channels), location, z)
    ]
    total = len(rows) * len(channels)
    records: dict[tuple[int, int], dict] = {}
    inspect = partial(describe_file, maximum_pixels=maximum_pixels)
    for file, described in read_ahead(files, inspect, workers=workers):
        for number, facts in zip(file.channels, described, strict=True):
            identity = {name: rows[file.row][name] for name in SITE_KEY}
            records[file.row, number] = {**identity, "channel": channels[number], **facts}
        progress(len(records), total)
    in_order = [records[key] for key in sorted(records)]
    _mark_odd_images(in_order, bits)
    schema = pa.schema([pa.field(name, kind) for name, (kind, _) in PLATE_IMAGES.required.items()])
    return pa.Table.from_pylist(in_order, schema=schema)


def _mark_odd_images(records: list[dict], bits: int) -> None:
    """Give a problem to images that differ from most of the plate, or do not fit the configured bit depth."""
    kinds = Counter((r["height"], r["width"], r["dtype"]) for r in records if "dtype" in r)
    if not kinds:
        return
    usual = kinds.most_common(1)[0][0]
    for record in records:
        if "dtype" not in record:
            continue
        kind = (record["height"], record["width"], record["dtype"])
        if kind != usual:
            record["problem"] = (
                f"{record['path']} is {kind[0]} x {kind[1]} {kind[2]} (rows x columns); "
                f"the plate's images are {usual[0]} x {usual[1]} {usual[2]}"
            )
        elif bits == 8 and record["dtype"] == "uint16":
            record["problem"] = f"{record['path']} is uint16, but dataset.images.bits is 8"


def image_paths(plate_images: pa.Table, location: IndexLocation) -> dict[str, Path | UPath]:
    """The file meant by each value of column `path`; the planes of one file share it."""
    return {value: _file_meant(value, location) for value in plate_images["path"].unique().to_pylist()}


def _file_meant(value: str, location: IndexLocation) -> Path | UPath:
    try:
        return locate_image(value, location).file
    except ImageFileError:
        # The table has the reason in its problem column.
        return resolve_image(value, location)


def annotate_plate(index: pa.Table, plate: str, channels: Sequence[str]) -> pa.Table:
    """The annotations of one plate: all columns of the index but image paths, named `Metadata_*`, strings.

    Returns
    -------
    Table of schema `plate_annotations`; the column `Treatment` of the index becomes `Metadata_Treatment`.
    Where the index has both, with the same values, it is there once.

    Raises
    ------
    ImageIndexError : the index has both `Treatment` and `Metadata_Treatment`, with different values.
    """
    rows = plate_rows(index, plate).drop_columns(list(channels))
    for name in rows.column_names:
        prefixed = annotation_column(name)
        if prefixed != name and prefixed in rows.column_names:
            if rows[name].to_pylist() != rows[prefixed].to_pylist():
                raise ImageIndexError(
                    f"columns {name} and {prefixed} mean the same annotation, but their values differ",
                    where=f"image_index, plate {plate}",
                    remedy="rename or remove one of them in index.csv",
                )
            rows = rows.drop_columns([name])
    return PLATE_ANNOTATIONS.enforce(
        rows.rename_columns([annotation_column(name) for name in rows.column_names])
    )


def annotation_column(name: str) -> str:
    """The name of an index column among the annotations."""
    return name if name.startswith("Metadata_") else f"Metadata_{name}"


def collect_locations(
    plate: str,
    sites: Sequence[tuple[str, str]],
    folder: Path | UPath,
    *,
    workers: int,
    roots: Sequence[str] = (),
) -> pa.Table:
    """All cells of a plate, from a table of the plate or of several, or from one file per site.

    Parameters
    ----------
    sites : (well, site) of every field of view, in the order wanted.
    folder : `inputs/locations`.
    roots : `image_roots` of the project: where links below the folder may lead.

    Returns
    -------
    Table of schema `cell_locations`: one row per cell, `Metadata_Cell` is its number among the rows of its
    site. The provenance holds `sites` ({well/site: cells}) with zero for sites without cells, `without_file`
    (sites without a file of their own, where there is one per site), and `source`, the table if it was one.

    Raises
    ------
    LocationsError : some file cannot be used; the problems of all files are listed.
    """
    found = cells_from_tables(folder, plate, sites, roots)
    if found is None:
        return _from_files(plate, sites, folder, workers, roots)
    counts = {f"{well}/{site}": 0 for well, site in sites}
    frames = []
    for (well, site), cells in found.frame.groupby([WELL, SITE], sort=False):
        counts[f"{well}/{site}"] = len(cells)
        frames.append(_identified(cells, plate, str(well), str(site)))
    return with_provenance(_stacked(frames), sites=counts, without_file=[], source=found.path.name)


def _from_files(
    plate: str,
    sites: Sequence[tuple[str, str]],
    folder: Path | UPath,
    workers: int,
    roots: Sequence[str],
) -> pa.Table:
    """The cells of a plate from one file per site."""

    def read(key: tuple[str, str]) -> object:
        try:
            path = locations_path(folder, plate, *key)
            refuse_locations_elsewhere(path, folder, roots)
            return read_locations(path)
        except LocationsError as error:
            return error

    frames: list[pd.DataFrame] = []
    counts: dict[str, int] = {}
    without_file: list[str] = []
    problems: list[Problem] = []
    for (well, site), found in read_ahead(sites, read, workers=workers):
        if isinstance(found, LocationsError):
            problems += found.problems
            continue
        cells = found.frame  # type: ignore[attr-defined]
        counts[f"{well}/{site}"] = len(cells)
        if not found.file_found:  # type: ignore[attr-defined]
            without_file.append(f"{well}/{site}")
        if len(cells):
            frames.append(_identified(cells, plate, well, site))
    if problems:
        raise LocationsError(problems)
    table = _stacked(frames)
    return with_provenance(table, sites=counts, without_file=without_file)


def _identified(cells: pd.DataFrame, plate: str, well: str, site: str) -> pd.DataFrame:
    identity = pd.DataFrame(
        {PLATE: plate, WELL: well, SITE: site, CELL: [str(row) for row in range(len(cells))]}, dtype=object
    )
    carried = cells.drop(columns=[name for name in identity.columns if name in cells.columns])
    return pd.concat([identity, carried.reset_index(drop=True)], axis=1)


def _stacked(frames: list[pd.DataFrame]) -> pa.Table:
    required = pa.schema([pa.field(name, kind) for name, (kind, _) in CELL_LOCATIONS.required.items()])
    if not frames:
        return required.empty_table()
    cells = pd.concat(frames, ignore_index=True)
    carried = [name for name in cells.columns if name not in required.names]
    columns = {field.name: pa.array(cells[field.name], field.type) for field in required}
    for name in carried:
        numeric = pd.api.types.is_numeric_dtype(cells[name].dtype)
        values = cells[name] if numeric else cells[name].map(str, na_action="ignore")
        columns[name] = pa.array(values, pa.float64() if numeric else pa.string(), from_pandas=True)
    return CELL_LOCATIONS.enforce(pa.table(columns))


def cells_outside(locations: pa.Table, height: int, width: int) -> int:
    """How many cells have their centre outside the image (their crops are partly or wholly empty)."""
    x, y = locations[CENTER_X].to_numpy(), locations[CENTER_Y].to_numpy()
    return int(((x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)).sum())
