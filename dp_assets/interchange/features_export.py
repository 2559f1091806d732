"""Cell features as DeepProfiler's npz files, which pycytominer and CytoTable read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from upath import UPath

from dp_assets.config.errors import Problem, StoreError
from dp_assets.interchange.export_record import ExportRecord
from dp_assets.interchange.legacy_npz import MODEL, write_legacy_npz
from dp_assets.interchange.site_files import NAMINGS, Naming
from dp_assets.interchange.site_runs import runs
from dp_assets.storage.fingerprints import fingerprint, fingerprint_table
from dp_assets.storage.read_ahead import read_ahead
from dp_assets.storage.schemas import CELL, CELL_KEY, SITE, WELL
from dp_assets.storage.tables import StoredTable, read_provenance

VERSION = "1"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ExportedFeatures:
    """What was written for a plate.

    Attributes
    ----------
    files, cells : written, or found as they would be written.
    sites_without_cells : sites that have no file, as with DeepProfiler.
    kept : whether everything was there already.
    removed : files of an earlier export that are not part of this one.
    """

    files: int
    cells: int
    sites_without_cells: int
    kept: bool
    removed: int = 0


@dataclass(frozen=True)
class FeatureExport:
    """One plate's features and what goes with them.

    Attributes
    ----------
    plate : its name.
    features : table of schema `cell_features`.
    locations : table of schema `cell_locations` with the same cells.
    index : the plate's rows of the image index, columns as the user named them.
    naming : how files are named.
    """

    plate: str
    features: StoredTable
    locations: pa.Table
    index: pa.Table
    naming: Naming = "plate/well/site"

    def fingerprint(self) -> str:
        """What the files are made from."""
        return fingerprint(
            VERSION,
            self.naming,
            read_provenance(self.features.schema())["fingerprint"],
            fingerprint_table(self.locations),
            fingerprint_table(self.index),
        )

    def file(self, well: str, site: str) -> str:
        """The file of a site, relative to the export folder."""
        return NAMINGS[self.naming].format(plate=self.plate, well=well, site=site)


@dataclass(frozen=True)
class _SiteRows:
    """The cells of one site, one after the other in the table."""

    well: str
    site: str
    cells: list[str]
    features: np.ndarray


def export_features(
    plan: FeatureExport, folder: Path | UPath, *, workers: int, progress: Progress = lambda *_: None
) -> ExportedFeatures:
    """Write one npz per site that has cells; memory holds one row group and a few sites.

    Each file appears complete or not at all. A plate whose features, locations and index rows are those of
    the last export is kept as it is; otherwise all its files are written again, and files of sites that have
    no cells any more are removed.

    Raises
    ------
    StoreError : names do not fit the naming, or features, locations and index are not of the same cells.
    """
    _require_names(plan)
    record, content = ExportRecord(folder, plan.plate, "features"), plan.fingerprint()
    sites = list(zip(plan.index[WELL].to_pylist(), plan.index[SITE].to_pylist(), strict=True))
    cells = plan.features.row_count()
    if record.is_current(content):
        written = len(record.files())
        return ExportedFeatures(written, cells, len(sites) - written, kept=True)
    record.begin()
    metadata = _site_metadata(plan)
    locations = _site_locations(plan.locations)

    def write(rows: _SiteRows) -> str:
        name = plan.file(rows.well, rows.site)
        key = (rows.well, rows.site)
        if key not in metadata:
            raise _other_cells(plan, f"{'/'.join(key)} has features, but the image index does not list it")
        write_legacy_npz(
            folder / name, rows.features, metadata[key], _matching(plan, rows, locations.get(key))
        )
        return name

    files = []
    for _, name in read_ahead(_sites(plan.features), write, workers=workers):
        files.append(name)
        progress(len(files), len(sites))
    progress(len(sites), len(sites))
    removed = record.finish(content, files)
    return ExportedFeatures(len(files), cells, len(sites) - len(files), kept=False, removed=removed)


def _sites(features: StoredTable) -> Iterator[_SiteRows]:
    """The sites of a features table in its order, whatever its row groups are."""
    names = [name for name in features.schema().names if name not in CELL_KEY]
    waiting: list[_SiteRows] = []
    for group in features.row_groups():
        matrix = np.stack([group[name].to_numpy() for name in names], axis=1)
        keys = list(zip(group[WELL].to_pylist(), group[SITE].to_pylist(), strict=True))
        cells = group[CELL].to_pylist()
        for start, stop in runs(keys):
            rows = _SiteRows(*keys[start], cells[start:stop], matrix[start:stop])
            if waiting and (waiting[0].well, waiting[0].site) != keys[start]:
                yield _joined(waiting)
                waiting = []
            waiting.append(rows)
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[_SiteRows]) -> _SiteRows:
    cells = [cell for part in parts for cell in part.cells]
    features = np.concatenate([part.features for part in parts])
    return _SiteRows(parts[0].well, parts[0].site, cells, features)


def _require_names(plan: FeatureExport) -> None:
    """Refuse names that readers of the files would take apart in another way."""
    if plan.naming == "plate/well/site":
        return
    keys = zip(plan.index[WELL].to_pylist(), plan.index[SITE].to_pylist(), strict=True)
    odd = sorted({f"{well}_{site}" for well, site in keys if "_" in well + site})
    if odd:
        raise StoreError(
            f"wells and sites with an underscore cannot be told apart in file names: {', '.join(odd[:5])}",
            where=f"--naming {plan.naming}, plate {plan.plate}",
            remedy='use --naming plate/well/site (pycytominer: filename_delimiter="/")',
        )


def _site_metadata(plan: FeatureExport) -> dict[tuple[str, str], dict[str, str]]:
    """(well, site) -> the site's row of the index, and the name of the network."""
    network = str(read_provenance(plan.features.schema())["network"])
    rows = plan.index.to_pylist()
    return {(row[WELL], row[SITE]): {**row, MODEL: network} for row in rows}


def _site_locations(locations: pa.Table) -> dict[tuple[str, str], tuple[list[str], np.ndarray]]:
    """(well, site) -> names of its cells and their locations (cells, columns), X and Y first."""
    keys = list(zip(locations[WELL].to_pylist(), locations[SITE].to_pylist(), strict=True))
    cells = locations[CELL].to_pylist()
    columns = [locations[name] for name in locations.column_names if name not in CELL_KEY]
    if all(pa.types.is_floating(column.type) for column in columns):
        matrix = np.stack([column.to_numpy() for column in columns], axis=1)
    else:
        matrix = np.empty((len(keys), len(columns)), object)
        for number, column in enumerate(columns):
            matrix[:, number] = column.to_pylist()
    return {keys[start]: (cells[start:stop], matrix[start:stop]) for start, stop in runs(keys)}


def _matching(plan: FeatureExport, rows: _SiteRows, found: tuple[list[str], np.ndarray] | None) -> np.ndarray:
    """The locations of these cells, in their order."""
    cells, locations = found if found is not None else ([], np.empty((0, 2)))
    if cells == rows.cells:
        return locations
    places = {name: number for number, name in enumerate(cells)}
    missing = [name for name in rows.cells if name not in places]
    if missing:
        raise _other_cells(
            plan, f"cell {missing[0]} of {rows.well}/{rows.site} has features, but no location"
        )
    return locations[[places[name] for name in rows.cells]]


def _other_cells(plan: FeatureExport, what: str) -> StoreError:
    return StoreError(
        [
            Problem(
                what,
                f"{plan.features.path}, plate {plan.plate}",
                "materialize cell_locations and cell_features of this plate again",
            )
        ]
    )
