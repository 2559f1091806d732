"""DeepProfiler's feature files as tables of cell features and cell locations, plate by plate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from upath import UPath

from dp_assets.interchange.legacy_folder import ImportPlan, LegacySite, Progress, read_site
from dp_assets.interchange.site_files import SiteName
from dp_assets.storage.fingerprints import fingerprint, fingerprint_bytes
from dp_assets.storage.read_ahead import read_ahead
from dp_assets.storage.schemas import (
    CELL,
    CELL_FEATURES,
    CELL_KEY,
    CELL_LOCATIONS,
    CENTER_X,
    CENTER_Y,
    PLATE,
    SITE,
    WELL,
)
from dp_assets.storage.tables import TableStream, with_provenance, write_table

CELLS_PER_ROW_GROUP = 16_000


@dataclass(frozen=True)
class ImportedPlate:
    """What was written for a plate.

    Attributes
    ----------
    cells, sites : in the features table.
    without_locations : sites whose file holds no usable locations.
    """

    cells: int
    sites: int
    without_locations: tuple[str, ...]


def import_plate(
    plan: ImportPlan,
    plate: str,
    folder: Path | UPath,
    *,
    xy_columns: tuple[int, int] = (0, 1),
    workers: int,
    progress: Progress = lambda *_: None,
) -> ImportedPlate:
    """Write `cell_features/<plate>.parquet` and `cell_locations/<plate>.parquet` below `folder`.

    Cells are numbered by their row (`Metadata_Cell`), features are named `<network>_<number>` from 0. They
    are written in row groups of about 16,000 cells that end with a well; memory holds one of them.

    Parameters
    ----------
    xy_columns : columns of `locations` that hold X and Y; DeepProfiler keeps the column order of the
        locations files.
    """
    files = plan.files_of(plate)
    locations: list[pa.Table] = []
    without: list[str] = []

    def sites() -> Iterator[LegacySite]:
        for done, (name, site) in enumerate(
            read_ahead(files, lambda item: read_site(*item), workers=workers)
        ):
            found = _site_locations(site, xy_columns)
            if found is None:
                without.append(name[0].key)
            else:
                locations.append(found)
            progress(done + 1, len(files))
            yield site

    facts = {
        "fingerprint": _content(plan, files, workers),
        "imported_from": str(plan.folder),
        "network": plan.model,
        "sites_without_cells": [s.key for s in plan.found.without_file if s.plate == plate],
    }
    schema = _features_schema(plan)
    stream = TableStream(schema, lambda: _row_groups(sites(), schema), facts)
    cells = write_table(folder / "cell_features" / f"{plate}.parquet", stream, CELL_FEATURES)
    table = with_provenance(_stacked(locations), **facts)
    write_table(folder / "cell_locations" / f"{plate}.parquet", table, CELL_LOCATIONS)
    return ImportedPlate(cells, len(files), tuple(without))


def _content(plan: ImportPlan, files: Sequence[tuple[SiteName, Path]], workers: int) -> str:
    """What a plate's table is made from: the bytes of its files."""
    read = read_ahead(files, lambda item: fingerprint_bytes(item[1].read_bytes()), workers=workers)
    return fingerprint(plan.model, plan.dimension, [[site.key, content] for (site, _), content in read])


def _features_schema(plan: ImportPlan) -> pa.Schema:
    names = [f"{plan.model}_{number}" for number in range(plan.dimension)]
    return pa.schema(
        [*(pa.field(name, pa.string()) for name in CELL_KEY), *(pa.field(n, pa.float32()) for n in names)]
    )


def _row_groups(sites: Iterator[LegacySite], schema: pa.Schema) -> Iterator[pa.Table]:
    """Row groups of about 16,000 cells that end where a well ends."""
    group: list[LegacySite] = []
    for site in sites:
        full = sum(len(other.features) for other in group) >= CELLS_PER_ROW_GROUP
        if full and site.well != group[-1].well:
            yield _group_table(group, schema)
            group = []
        group.append(site)
    if group:
        yield _group_table(group, schema)


def _group_table(sites: Sequence[LegacySite], schema: pa.Schema) -> pa.Table:
    identity = [_identity(site) for site in sites]
    features = np.ascontiguousarray(np.concatenate([site.features for site in sites]).T)
    names = [[value for part in identity for value in part[name]] for name in CELL_KEY]
    arrays = [*(pa.array(values, pa.string()) for values in names), *(pa.array(row) for row in features)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _identity(site: LegacySite) -> dict[str, list[str]]:
    count = len(site.features)
    return {
        PLATE: [site.plate] * count,
        WELL: [site.well] * count,
        SITE: [site.site] * count,
        CELL: [str(row) for row in range(count)],
    }


def _site_locations(site: LegacySite, xy_columns: tuple[int, int]) -> pa.Table | None:
    """The site's cells with X, Y and the other columns (`location_2`, ...); None without usable X and Y."""
    columns = [] if site.locations is None else [_typed(column) for column in site.locations.T]
    if max(xy_columns) >= len(columns):
        return None
    x, y = (columns[number] for number in xy_columns)
    if any(column.dtype != np.float64 or not np.isfinite(column).all() for column in (x, y)):
        return None
    others = {
        f"location_{number}": pa.array(column, pa.string() if column.dtype == object else pa.float64())
        for number, column in enumerate(columns)
        if number not in xy_columns
    }
    identity = {name: pa.array(values, pa.string()) for name, values in _identity(site).items()}
    return pa.table({**identity, CENTER_X: pa.array(x), CENTER_Y: pa.array(y), **others})


def _stacked(tables: Sequence[pa.Table]) -> pa.Table:
    """All sites together; a column that is text at one site is text at all."""
    columns = {name: kind for name, (kind, _) in CELL_LOCATIONS.required.items()}
    for table in tables:
        for field in table.schema:
            if field.name not in columns or pa.types.is_string(field.type):
                columns[field.name] = field.type
    schema = pa.schema(columns)
    filled = [
        table.select([name for name in columns if name in table.column_names]).cast(
            pa.schema([field for field in schema if field.name in table.column_names])
        )
        for table in tables
    ]
    return pa.concat_tables([schema.empty_table(), *filled], promote_options="default")


def _typed(column: np.ndarray) -> np.ndarray:
    """float64 where all values are numbers, text otherwise."""
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError):
        return np.array([None if value is None else str(value) for value in column], object)
