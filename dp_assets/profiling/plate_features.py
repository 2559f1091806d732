"""Features of every cell of a plate: cells of many sites pooled into full batches, site by site resumable."""

import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from dp_assets.profiling.feature_plan import FeaturePlan
from dp_assets.profiling.shared_pass import Companion, Taker, one_pass, shared_crops
from dp_assets.storage.earlier_units import EarlierUnits, UnitContent, take_over
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.image_sites import ImageSite, SiteFailure, failures_of, refuse_failures, usable
from dp_assets.storage.read_ahead import read_ahead
from dp_assets.storage.schemas import CELL, PLATE, SITE, WELL
from dp_assets.storage.site_loop import Progress, try_each
from dp_assets.storage.tables import StoredTable, TableStream
from dp_assets.storage.work import WorkFolder

CELLS_PER_ROW_GROUP = 16_000
DATA = ".npy"
UNITS_KEY = b"dp_assets_units"
"""In the schema metadata: unit, seal and number of cells of every site with cells, in the order of rows."""


class Extractor(Protocol):
    """Features of crops: float32 (cells, rows, cols, channels) in, float32 (cells, `dimension`) out.

    `calls_at_once` says how many threads may call it at the same time.
    """

    dimension: int
    calls_at_once: int

    def __call__(self, crops: np.ndarray) -> np.ndarray: ...


def extract_plate(
    plan: FeaturePlan,
    load_extractor: Callable[[], Extractor],
    *,
    work: WorkFolder,
    workers: int,
    on_bad_site: str,
    maximum_pixels: int,
    progress: Progress,
    earlier: EarlierUnits | None = None,
    companions: Callable[[Sequence[ImageSite]], Sequence[Companion]] = lambda _: (),
) -> tuple[TableStream, list[SiteFailure]]:
    """Compute the features of every usable site; those that an earlier, killed run finished are kept.

    Parameters
    ----------
    load_extractor : called once, when it is known that features are wanted.
    earlier : the features published before; those of sites of which nothing has changed are taken over.
    companions : called once with the sites that will be read, if there are any: other experiments whose
        features of these sites are computed in the same pass, and kept in their own work folders.

    Returns
    -------
    A table (schema `cell_features`) to be written row group by row group, and the sites that could not be
    read.

    Raises
    ------
    ImageFileError : some site cannot be read and `on_bad_site` is "fail"; every such site is named.
    """
    good = usable(plan.sites)
    unread: list[SiteFailure] = []
    parts = {site.key: plan.site_fingerprint(site) for site in good}
    with_cells = [site for site in good if plan.cells_of(site).names]
    kept = take_over(work, [parts[site.key] for site in with_cells], earlier, workers)
    todo = [site for site in with_cells if parts[site.key] not in kept]
    extractor = load_extractor()
    own = Taker(plan, extractor, work, {site.key: parts[site.key] for site in todo})
    others = companions(todo) if todo else ()
    crops = try_each(
        todo,
        lambda site: shared_crops([own, *others], site, maximum_pixels),
        unread,
        workers=workers,
        progress=progress,
        done=len(with_cells) - len(todo),
    )
    one_pass(crops, own, others, _keep_features)
    failures = [*failures_of(plan.sites), *unread]
    bad = {(failure.well, failure.site) for failure in unread}
    finished = [site for site in with_cells if (site.well, site.site) not in bad]
    if not finished and unread:
        on_bad_site = "fail"
    refuse_failures(failures, plate=plan.sites[0].plate, finished=len(finished), on_bad_site=on_bad_site)
    names = plan.feature_names(extractor.dimension)
    identity = [pa.field(name, pa.string()) for name in (PLATE, WELL, SITE, CELL)]
    units = [
        [parts[site.key], work.seal(parts[site.key]), len(plan.cells_of(site).names)] for site in finished
    ]
    schema = pa.schema(
        [*identity, *(pa.field(name, pa.float32()) for name in names)],
        metadata={UNITS_KEY: json.dumps(units).encode()},
    )
    stream = TableStream(
        schema=schema,
        row_groups=lambda: _row_groups(plan, finished, parts, work, schema),
        provenance={
            "fingerprint": plan.fingerprint if not bad else fingerprint(plan.fingerprint, sorted(bad)),
            "model": plan.model_fingerprint,
            "network": plan.network,
            "layer": plan.layer,
            "normalization": plan.normalization,
            "failures": [failure.as_dict() for failure in failures],
            "sites_without_cells": [site.key for site in good if not plan.cells_of(site).names],
        },
        finished=work.clear,
    )
    return stream, failures


@dataclass(frozen=True)
class _Batch:
    """Crops of one or several sites, and the sites (with their numbers of cells) that begin in it."""

    crops: np.ndarray
    begun: tuple[tuple[ImageSite, int], ...]


def _keep_features(taker: Taker, crops_by_site: Iterable[tuple[ImageSite, np.ndarray]]) -> None:
    for site, features in _pooled(crops_by_site, taker.extractor, taker.plan.batch_size):
        taker.work.keep(taker.units[site.key], {DATA: _as_bytes(features)}, forced=False)


def _pooled(
    crops_by_site: Iterable[tuple[ImageSite, np.ndarray]], extractor: Extractor, batch_size: int
) -> Iterator[tuple[ImageSite, np.ndarray]]:
    """Features site by site; the cells of all sites go through the network in full batches, in order.

    The network works in threads of its own: it need not wait while batches are filled or features kept.
    """
    waiting: deque[tuple[ImageSite, int]] = deque()
    features: list[np.ndarray] = []
    calls = extractor.calls_at_once
    batches = _batches(crops_by_site, batch_size)
    for batch, found in read_ahead(batches, lambda batch: extractor(batch.crops), workers=calls, ahead=calls):
        waiting.extend(batch.begun)
        features.append(found)
        yield from _complete(waiting, features)


def _batches(crops_by_site: Iterable[tuple[ImageSite, np.ndarray]], batch_size: int) -> Iterator[_Batch]:
    """The crops in full batches, in order; the last one may be shorter."""
    batch = np.empty((0,), np.float32)
    count = 0
    begun: list[tuple[ImageSite, int]] = []
    for site, crops in crops_by_site:
        begun.append((site, len(crops)))
        start = 0
        while start < len(crops):
            if not count:
                batch = np.empty((batch_size, *crops.shape[1:]), np.float32)
            some = crops[start : start + batch_size - count]
            batch[count : count + len(some)] = some
            start, count = start + len(some), count + len(some)
            if count == batch_size:
                yield _Batch(batch, tuple(begun))
                count, begun = 0, []
    if count:
        yield _Batch(batch[:count], tuple(begun))


def _complete(
    waiting: deque[tuple[ImageSite, int]], features: list[np.ndarray]
) -> Iterator[tuple[ImageSite, np.ndarray]]:
    """Take from both what belongs to sites all of whose cells have features."""
    known = sum(map(len, features))
    if not waiting or waiting[0][1] > known:
        return
    joined = np.concatenate(features)
    while waiting and waiting[0][1] <= len(joined):
        site, cells = waiting.popleft()
        yield site, joined[:cells]
        joined = joined[cells:]
    features[:] = [joined]


def _row_groups(
    plan: FeaturePlan,
    sites: Sequence[ImageSite],
    parts: Mapping[str, str],
    work: WorkFolder,
    schema: pa.Schema,
) -> Iterator[pa.Table]:
    """Row groups of about 16,000 cells that end where a well ends."""
    group: list[ImageSite] = []
    count = 0
    for number, site in enumerate(sites):
        group.append(site)
        count += len(plan.cells_of(site).names)
        well_ends = number + 1 == len(sites) or sites[number + 1].well != site.well
        if well_ends and count >= CELLS_PER_ROW_GROUP:
            yield _group_table(plan, group, parts, work, schema)
            group, count = [], 0
    if group:
        yield _group_table(plan, group, parts, work, schema)


def _group_table(
    plan: FeaturePlan,
    sites: Sequence[ImageSite],
    parts: Mapping[str, str],
    work: WorkFolder,
    schema: pa.Schema,
) -> pa.Table:
    features = np.concatenate(
        [np.load(io.BytesIO(work.content(parts[site.key], DATA)), allow_pickle=False) for site in sites]
    )
    identity = [
        [site.plate for site in sites for _ in plan.cells_of(site).names],
        [site.well for site in sites for _ in plan.cells_of(site).names],
        [site.site for site in sites for _ in plan.cells_of(site).names],
        [cell for site in sites for cell in plan.cells_of(site).names],
    ]
    columns = np.ascontiguousarray(features.T)
    arrays = [
        *(pa.array(values, pa.string()) for values in identity),
        *(pa.array(column) for column in columns),
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _as_bytes(features: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.ascontiguousarray(features, np.float32), allow_pickle=False)
    return sink.getvalue()


class EarlierFeatures:
    """The sites of a published table of features, to be taken over where nothing of them has changed."""

    def __init__(self, table: StoredTable) -> None:
        self._table = table

    def _named(self) -> list[tuple[str, str, int]]:
        stored = (self._table.schema().metadata or {}).get(UNITS_KEY, b"[]")
        return [(unit, seal, cells) for unit, seal, cells in json.loads(stored)]

    def seals(self) -> dict[str, str]:
        """Unit -> its seal."""
        return {unit: seal for unit, seal, _ in self._named()}

    def read(self, units: Sequence[str]) -> Iterator[UnitContent]:
        """The features of some sites; memory holds one row group at a time."""
        wanted = set(units)
        waiting = iter(self._named())
        for group in self._table.row_groups():
            numbers = [name for name in group.column_names if not name.startswith("Metadata_")]
            features = np.stack([group[name].to_numpy() for name in numbers], axis=1)
            start = 0
            while start < len(features):
                # Sites do not reach over the end of a row group.
                unit, _, cells = next(waiting, ("", "", 0))
                if not cells:
                    return
                if unit in wanted:
                    yield UnitContent(unit, {DATA: _as_bytes(features[start : start + cells])})
                start += cells
