"""Cutting every cell of a plate into a crop store, site by site, resumable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dp_assets.imaging.cropping import (
    CropGeometry,
    extract_from_planes,
    resample_windows,
    window_origins,
    window_side,
)
from dp_assets.imaging.masks import PlateMasks, crop_masks
from dp_assets.imaging.normalization import flat_channels
from dp_assets.storage.crop_codec import CODEC
from dp_assets.storage.crop_parts import (
    UNITS,
    assemble_store,
    cells_off_objects,
    flat_cells,
    write_site_part,
)
from dp_assets.storage.earlier_units import EarlierUnits, take_over
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.folders import FolderWriter
from dp_assets.storage.image_bytes import content_changed
from dp_assets.storage.image_sites import ImageSite, SiteFailure, failures_of, refuse_failures, usable
from dp_assets.storage.schemas import CELL, CENTER_X, CENTER_Y, PLATE, SITE, WELL
from dp_assets.storage.site_loop import Progress, exhaust, try_each
from dp_assets.storage.work import WorkFolder

VERSION = "1"
_CELLS_AT_ONCE = 32


@dataclass(frozen=True)
class SiteCells:
    """The cells of one site.

    Attributes
    ----------
    names : `Metadata_Cell` of each.
    centres : (cells, 2) float64, (row, col) in pixels of the original image.
    """

    names: tuple[str, ...]
    centres: np.ndarray

    @property
    def fingerprint(self) -> str:
        """What the cells are: names and exact centres."""
        return fingerprint(list(self.names), self.centres.tolist())


NO_CELLS = SiteCells((), np.empty((0, 2)))


def cells_by_site(locations: pa.Table) -> dict[tuple[str, str], SiteCells]:
    """(well, site) -> its cells, from a cell_locations table."""
    names: dict[tuple[str, str], list[str]] = {}
    centres: dict[tuple[str, str], list[tuple[float, float]]] = {}
    columns = (locations[name].to_pylist() for name in (WELL, SITE, CELL, CENTER_Y, CENTER_X))
    for well, site, cell, row, col in zip(*columns, strict=True):
        names.setdefault((well, site), []).append(cell)
        centres.setdefault((well, site), []).append((row, col))
    return {key: SiteCells(tuple(names[key]), np.asarray(centres[key], np.float64)) for key in names}


@dataclass(frozen=True)
class CropPlan:
    """What a plate's crop store is made from.

    Attributes
    ----------
    sites : all sites; images may be the original or the compressed ones.
    channels : order of the windows' last axis.
    cells : (well, site) -> cells.
    geometry : box size, sampling, margin.
    array_shape, dtype : (rows, cols) and type of the images that are cut (compressed ones may be scaled).
    masks : which pixels are the cells' own; None when cells are not masked.
    """

    sites: Sequence[ImageSite]
    channels: tuple[str, ...]
    cells: Mapping[tuple[str, str], SiteCells]
    geometry: CropGeometry
    array_shape: tuple[int, int]
    dtype: str
    masks: PlateMasks | None = None

    @property
    def side(self) -> int:
        """Rows and columns of every window."""
        # A site that could not be read has no size.
        return window_side(self.geometry, usable(self.sites)[0].original_shape, self.array_shape)

    def cells_of(self, site: ImageSite) -> SiteCells:
        """The cells of a site; none when the locations do not name it."""
        return self.cells.get((site.well, site.site), NO_CELLS)

    def site_fingerprint(self, site: ImageSite) -> str:
        """What one site's crops are made from."""
        return fingerprint(
            "crops",
            VERSION,
            CODEC,
            site.key,
            list(self.channels),
            list(self.geometry.facts().values()),
            list(site.original_shape),
            list(site.fingerprints),
            self.cells_of(site).fingerprint,
            *(self.masks.site_facts(site) if self.masks is not None else ()),
        )

    @property
    def fingerprint(self) -> str:
        """What the plate's crops are made from."""
        return fingerprint([[site.key, self.site_fingerprint(site)] for site in usable(self.sites)])


def export_crops(
    plan: CropPlan,
    *,
    work: WorkFolder,
    workers: int,
    on_bad_site: str,
    maximum_pixels: int,
    progress: Progress,
    earlier: EarlierUnits | None = None,
) -> tuple[FolderWriter, list[SiteFailure]]:
    """Cut the cells of every usable site; finished sites of an earlier, killed run are taken as they are.

    Parameters
    ----------
    earlier : the store published before; its sites of which nothing has changed are taken over.

    Returns
    -------
    A crop store to publish, and the sites that could not be read.

    Raises
    ------
    ImageFileError : some site cannot be read and `on_bad_site` is "fail"; every such site is named.
    """
    good = usable(plan.sites)
    if not good:
        refuse_failures(failures_of(plan.sites), plate=plan.sites[0].plate, finished=0, on_bad_site="fail")
    unread: list[SiteFailure] = []
    fingerprints = {site.key: plan.site_fingerprint(site) for site in good}
    kept = take_over(work, fingerprints.values(), earlier, workers)
    todo = [site for site in good if fingerprints[site.key] not in kept]

    def cut(site: ImageSite) -> None:
        _cut_site(plan, site, work, fingerprints[site.key], maximum_pixels)

    done = len(good) - len(todo)
    exhaust(try_each(todo, cut, unread, workers=workers, progress=progress, done=done))
    failures = [*failures_of(plan.sites), *unread]
    bad = {(failure.well, failure.site) for failure in unread}
    finished = [site for site in good if (site.well, site.site) not in bad]
    if not finished:
        on_bad_site = "fail"
    refuse_failures(failures, plate=plan.sites[0].plate, finished=len(finished), on_bad_site=on_bad_site)
    parts = [fingerprints[site.key] for site in finished]
    writer = FolderWriter(
        fingerprint=plan.fingerprint if not bad else fingerprint(plan.fingerprint, sorted(bad)),
        facts=_plate_facts(plan, finished, failures, work),
        fill=lambda folder: _fill(folder, work, parts, masked=plan.masks is not None),
        finished=work.clear,
    )
    return writer, failures


def _cut_site(plan: CropPlan, site: ImageSite, work: WorkFolder, part: str, maximum_pixels: int) -> None:
    cells = plan.cells_of(site)
    side, count = plan.side, len(cells.names)
    objects = np.empty(0, np.int64)
    if count == 0:
        # A site without cells is a finished site: nothing is read for it, and it is not tried again.
        windows = np.empty((0, side, side, len(plan.channels)), plan.dtype)
        masks = np.empty((0, side, side), np.uint8)
        origins = np.empty((0, 2), np.int32)
    else:
        planes = site.planes_of_channels(maximum_pixels)
        if planes[0].shape != plan.array_shape or str(planes[0].dtype) != plan.dtype:
            raise content_changed(str(site.images[0]))
        origins = window_origins(cells.centres, plan.geometry, site.original_shape, plan.array_shape)
        windows = extract_from_planes(planes, origins, side)
        if plan.masks is not None:
            masks, objects = plan.masks.windows(
                site, cells.centres, origins, side, plan.array_shape, maximum_pixels
            )
    if plan.masks is None:
        margin = plan.geometry.margin
        flat = flat_channels(windows[:, margin : side - margin, margin : side - margin])
        write_site_part(work, part, windows, _columns(plan, site, cells, origins, flat))
    else:
        flat = _flat_inside(plan, site, cells, origins, windows, masks)
        windows = np.concatenate([windows, masks[..., None].astype(windows.dtype)], axis=-1)
        columns = _columns(plan, site, cells, origins, flat)
        write_site_part(work, part, windows, {**columns, "object": objects})


def _flat_inside(
    plan: CropPlan,
    site: ImageSite,
    cells: SiteCells,
    origins: np.ndarray,
    windows: np.ndarray,
    masks: np.ndarray,
) -> np.ndarray:
    """Channels (cells, channels) in which a masked crop is of one grey level, or empty."""
    assert plan.masks is not None
    found = np.ones((len(origins), len(plan.channels)), bool)
    for start in range(0, len(origins), _CELLS_AT_ONCE):
        some = slice(start, start + _CELLS_AT_ONCE)
        where = (origins[some], cells.centres[some], plan.geometry, site.original_shape, plan.array_shape)
        own = crop_masks(masks[some], *where, plan.masks.sampling)
        found[some] = flat_channels(resample_windows(windows[some], *where), own)
    return found


def _columns(
    plan: CropPlan, site: ImageSite, cells: SiteCells, origins: np.ndarray, flat: np.ndarray
) -> dict[str, Any]:
    count = len(cells.names)
    names = np.asarray(plan.channels, dtype=object)
    return {
        PLATE: [site.plate] * count,
        WELL: [site.well] * count,
        SITE: [site.site] * count,
        CELL: list(cells.names),
        "origin_row": origins[:, 0],
        "origin_col": origins[:, 1],
        "centre_row": cells.centres[:, 0],
        "centre_col": cells.centres[:, 1],
        "array_rows": [plan.array_shape[0]] * count,
        "array_cols": [plan.array_shape[1]] * count,
        "original_rows": [site.original_shape[0]] * count,
        "original_cols": [site.original_shape[1]] * count,
        "flat_channels": [",".join(names[row]) for row in flat],
    }


def _plate_facts(
    plan: CropPlan, finished: Sequence[ImageSite], failures: Sequence[SiteFailure], work: WorkFolder
) -> dict[str, Any]:
    parts = [plan.site_fingerprint(site) for site in finished]
    facts = {
        "plate": plan.sites[0].plate,
        "codec": CODEC,
        "channels": list(plan.channels),
        "dtype": plan.dtype,
        "side": plan.side,
        "geometry": plan.geometry.facts(),
        "cells": sum(len(plan.cells_of(site).names) for site in finished),
        "flat_cells": flat_cells(work, parts),
        "sites": len(finished),
        UNITS: [
            [site.well, site.site, part, work.seal(part)] for site, part in zip(finished, parts, strict=True)
        ],
        "failures": [failure.as_dict() for failure in failures],
    }
    if plan.masks is not None:
        facts["mask"] = True
        facts["mask_sampling"] = plan.masks.sampling
        outside, shared = cells_off_objects(work, parts)
        facts |= {"cells_without_object": outside, "cells_sharing_object": shared}
    return facts


def _fill(folder: Path, work: WorkFolder, parts: Sequence[str], *, masked: bool) -> None:
    assemble_store(folder, work, parts, masked=masked)
