"""Writing a crop store: the windows of one site as a unit of the work folder, all of them as a store."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dp_assets.storage.crop_codec import encode_windows
from dp_assets.storage.crop_store import INDEX, WINDOWS, CropStore, index_schema
from dp_assets.storage.earlier_units import UnitContent
from dp_assets.storage.schemas import SITE, WELL
from dp_assets.storage.tables import COMPRESSION
from dp_assets.storage.work import WorkFolder

DATA = ".bin"
UNITS = "units"
"""In the manifest: well, site, unit and seal of every site in the store."""


def empty_index(*, masked: bool = False) -> pa.Table:
    """The index of a store without cells."""
    required = index_schema(masked).required
    return pa.schema([pa.field(name, kind) for name, (kind, _) in required.items()]).empty_table()


def write_site_part(work: WorkFolder, unit: str, windows: np.ndarray, columns: dict[str, Any]) -> None:
    """Store one site's windows in the work folder.

    Parameters
    ----------
    windows : (cells, side, side, channels), uint8 or uint16; of masked cells with the mask as last plane.
    columns : the index columns except `offset` and `length`, one value per cell; of masked cells with
        `object`.
    """
    encoded = encode_windows(windows)
    lengths = [len(data) for data in encoded]
    offsets = np.cumsum([0, *lengths])[:-1]
    data = {**columns, "offset": offsets, "length": lengths}
    names = index_schema("object" in columns).required
    facts = {name: np.asarray(data[name]).tolist() for name in names}
    work.keep(unit, {DATA: b"".join(encoded)}, facts, forced=False)


def flat_cells(work: WorkFolder, units: Iterable[str]) -> dict[str, int]:
    """Cells of one grey level in some channel: channels (comma-joined) -> how many, over finished sites."""
    counts: dict[str, int] = {}
    for unit in units:
        for channels in work.facts(unit)["flat_channels"]:
            if channels:
                counts[channels] = counts.get(channels, 0) + 1
    return counts


def cells_off_objects(work: WorkFolder, units: Iterable[str]) -> tuple[int, int]:
    """How many masked cells of finished sites lie on no object, and how many share theirs."""
    outside = shared = 0
    for unit in units:
        objects = np.asarray(work.facts(unit)["object"], np.int64)
        _, counts = np.unique(objects[objects > 0], return_counts=True)
        outside += int((objects <= 0).sum())
        shared += int(counts[counts > 1].sum())
    return outside, shared


def assemble_store(folder: Path, work: WorkFolder, units: Iterable[str], *, masked: bool = False) -> pa.Table:
    """Write `crops.bin` and `index.parquet` from the units of sites, in the order given; return the index.

    Parameters
    ----------
    masked : whether the units are of masked cells.
    """
    indexes = [empty_index(masked=masked)]
    offset = 0
    with (folder / WINDOWS).open("wb") as sink:
        for unit in units:
            data = work.content(unit, DATA)
            indexes.append(_index_of(work.facts(unit), offset, masked=masked))
            sink.write(data)
            offset += len(data)
    index = index_schema(masked).enforce(pa.concat_tables(indexes))
    pq.write_table(index, folder / INDEX, compression=COMPRESSION, write_page_checksum=True)
    return index


def _index_of(columns: dict[str, list], start: int, *, masked: bool) -> pa.Table:
    """The index of one site whose windows begin at byte `start`."""
    shifted = {**columns, "offset": [offset + start for offset in columns["offset"]]}
    types = {name: kind for name, (kind, _) in index_schema(masked).required.items()}
    return pa.table({name: pa.array(shifted[name], kind) for name, kind in types.items()})


class EarlierCrops:
    """The sites of a published crop store, to be taken over where nothing of them has changed."""

    def __init__(self, store: CropStore) -> None:
        self._store = store
        self._named: Sequence[Sequence[str]] = store.folder.manifest.get(UNITS, ())

    def seals(self) -> dict[str, str]:
        """Unit -> its seal."""
        return {unit: seal for _, _, unit, seal in self._named}

    def read(self, units: Sequence[str]) -> Iterator[UnitContent]:
        """The windows and the index columns of some sites."""
        wanted = set(units)
        index = self._store.index
        keys = zip(index[WELL].to_pylist(), index[SITE].to_pylist(), strict=True)
        rows: dict[tuple[str, str], list[int]] = {}
        for row, key in enumerate(keys):
            rows.setdefault(key, []).append(row)
        for well, site, unit, _ in self._named:
            if unit in wanted:
                # A site without cells is a unit without rows.
                columns = index.take(rows.get((well, site), [])).to_pydict()
                start = columns["offset"][0] if columns["offset"] else 0
                columns["offset"] = [offset - start for offset in columns["offset"]]
                data = self._store.stored_bytes(start, sum(columns["length"]))
                yield UnitContent(unit, {DATA: data}, columns)
