"""A plate's crop store as DeepProfiler's exported single cells: PNG strips and rows of sc-metadata.csv."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from upath import UPath

from dp_assets.config.errors import ImageIndexError
from dp_assets.interchange.export_record import RECORDS, ExportRecord
from dp_assets.interchange.sc_metadata import (
    FILE_NAME,
    IMAGE,
    CropLabels,
    columns_of,
    join_rows,
    site_rows,
    write_rows,
)
from dp_assets.interchange.site_runs import runs
from dp_assets.interchange.store_strips import StoreStrips
from dp_assets.storage.atomic import write_bytes
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.fingerprints import fingerprint, fingerprint_table
from dp_assets.storage.image_codecs import encode_png
from dp_assets.storage.read_ahead import read_ahead
from dp_assets.storage.schemas import CELL, CELL_KEY, CENTER_X, CENTER_Y, SITE, WELL

VERSION = "1"
CELLS_AT_ONCE = 64
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ExportedCrops:
    """What was written for a plate.

    Attributes
    ----------
    cells : exported.
    without_label : cells of sites whose label is empty; they are not exported.
    kept : whether everything was there already.
    removed : files of an earlier export that are not part of this one.
    """

    cells: int
    without_label: int
    kept: bool
    removed: int = 0


@dataclass(frozen=True)
class CropExport:
    """One plate's crops and what goes with them.

    Attributes
    ----------
    plate : its name.
    store : the crops.
    locations : table of schema `cell_locations`, for the columns beside X and Y; None where crops are not
        those of cells.
    labels : classes and splits of all sites.
    """

    plate: str
    store: CropStore
    locations: pa.Table | None
    labels: CropLabels

    def fingerprint(self) -> str:
        """What the files are made from."""
        labels = [[*site, *values] for site, values in self.labels.by_site.items() if site[0] == self.plate]
        return fingerprint(
            VERSION,
            self.store.fingerprint,
            None if self.locations is None else fingerprint_table(self.locations),
            [self.labels.label, self.labels.split, list(self.labels.classes), labels],
        )

    def sites(self) -> Iterator[tuple[tuple[str, str, str], range]]:
        """(plate, well, site) and the rows of the store's index, in its order."""
        index = self.store.index
        keys = list(zip(index[WELL].to_pylist(), index[SITE].to_pylist(), strict=True))
        for start, stop in runs(keys):
            yield (self.plate, *keys[start]), range(start, stop)

    def site_locations(self, site: tuple[str, str, str], rows: range) -> dict[str, list[Any]]:
        """Column -> value of each cell: X and Y from the crops themselves, the others by the cell's name."""
        part = self.store.index.slice(rows.start, len(rows))
        found = {CENTER_X: part["centre_col"].to_pylist(), CENTER_Y: part["centre_row"].to_pylist()}
        names, places = self._others
        for name, values in names.items():
            numbers = [places.get((*site[1:], cell)) for cell in part[CELL].to_pylist()]
            found[name] = [None if number is None else values[number] for number in numbers]
        return found

    @cached_property
    def _others(self) -> tuple[Mapping[str, list[Any]], Mapping[tuple[str, str, str], int]]:
        """The other columns of the locations, and (well, site, cell) -> row in them."""
        if self.locations is None:
            return {}, {}
        names = [n for n in self.locations.column_names if n not in (*CELL_KEY, CENTER_X, CENTER_Y)]
        if not names:
            return {}, {}
        keys = zip(*(self.locations[name].to_pylist() for name in (WELL, SITE, CELL)), strict=True)
        return {n: self.locations[n].to_pylist() for n in names}, {key: row for row, key in enumerate(keys)}

    @property
    def columns(self) -> list[str]:
        """The columns of the plate's rows."""
        return columns_of(self.labels, [CENTER_X, CENTER_Y, *self._others[0]])


def export_crops(
    plan: CropExport, folder: Path | UPath, *, workers: int, progress: Progress = lambda *_: None
) -> ExportedCrops:
    """Write one PNG per cell; memory holds a few cells and the plate's rows.

    Each file appears complete or not at all. A plate whose crops, locations and labels are those of the last
    export is kept as it is; otherwise its files are written again, and those of cells that are not there any
    more are removed. `write_sc_metadata` then writes the list.

    Raises
    ------
    ImageIndexError : the index does not list a site of the store.
    """
    record, content = ExportRecord(folder, plan.plate, "crops"), plan.fingerprint()
    rows, numbers, unlabelled = _labelled_rows(plan)
    part = _part(folder, plan.plate)
    if record.is_current(content) and part.exists():
        return ExportedCrops(len(rows), unlabelled, kept=True)
    record.begin()
    strips = StoreStrips(plan.store)

    def write(some: range) -> None:
        chosen = strips.of([numbers[number] for number in some])
        for number, strip in zip(some, chosen, strict=True):
            write_bytes(folder / rows[number][IMAGE], encode_png(strip))

    chunks = [range(n, min(n + CELLS_AT_ONCE, len(rows))) for n in range(0, len(rows), CELLS_AT_ONCE)]
    for some, _ in read_ahead(chunks, write, workers=workers):
        progress(some.stop, len(rows))
    write_rows(part, plan.columns, rows)
    removed = record.finish(content, [row[IMAGE] for row in rows])
    return ExportedCrops(len(rows), unlabelled, kept=False, removed=removed)


def _labelled_rows(plan: CropExport) -> tuple[list[dict[str, Any]], list[int], int]:
    """The rows of all cells with a label, their places in the store, and how many have none."""
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    unlabelled = 0
    for site, places in plan.sites():
        if site not in plan.labels.by_site:
            raise ImageIndexError(
                f"there are crops of {'/'.join(site)}, but the image index does not list it",
                where="image_index",
                remedy="list the site, or materialize the single_cells asset of this plate again",
            )
        if plan.labels.by_site[site][0] == "":
            unlabelled += len(places)
            continue
        cells = plan.store.index[CELL].slice(places.start, len(places)).to_pylist()
        rows += site_rows(site, cells, plan.site_locations(site, places), plan.labels)
        numbers += places
    return rows, numbers, unlabelled


def write_sc_metadata(folder: Path | UPath) -> int:
    """Write `sc-metadata.csv`: the cells of every plate that has been exported to this folder so far.

    Returns
    -------
    How many cells it lists.

    Raises
    ------
    StoreError : plates were exported with other labels or splits.
    """
    parts = sorted((folder / RECORDS).glob("*.csv"), key=str)
    return join_rows(folder / FILE_NAME, parts)


def _part(folder: Path | UPath, plate: str) -> Path | UPath:
    """The rows of one plate."""
    return folder / RECORDS / f"{plate}.csv"
