"""DeepProfiler's exported single cells (PNG strips and sc-metadata.csv) as crop stores, plate by plate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dp_assets.config.errors import ImageFileError, Problem
from dp_assets.imaging.cropping import window_origins
from dp_assets.imaging.normalization import flat_channels
from dp_assets.interchange.crop_list import CropList, ListedCrops
from dp_assets.interchange.strip_format import OWN, StripFormat, read_alike
from dp_assets.storage.crop_codec import CODEC
from dp_assets.storage.crop_parts import (
    assemble_store,
    cells_off_objects,
    flat_cells,
    write_site_part,
)
from dp_assets.storage.fingerprints import fingerprint, fingerprint_bytes
from dp_assets.storage.folders import FolderWriter
from dp_assets.storage.read_ahead import read_ahead
from dp_assets.storage.schemas import CELL, PLATE, SITE, WELL
from dp_assets.storage.work import WorkFolder

VERSION = "1"
IMPORTED = "imported_from"
MOST_PROBLEMS = 50
# The size of the images that the crops were cut from is not known. Whole-pixel crops do not need it.
NO_SIZE = (0, 0)
Progress = Callable[[int, int], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class ImportedCrops:
    """A plate that has been read.

    Attributes
    ----------
    writer : publishes its crop store.
    cells : in the store.
    missing : cells left out because their image is not there.
    """

    writer: FolderWriter
    cells: int
    missing: int


def import_crops(
    crops: CropList,
    plate: str,
    form: StripFormat,
    *,
    work: WorkFolder,
    workers: int,
    skip_missing: bool = False,
    progress: Progress = lambda *_: None,
) -> ImportedCrops:
    """Read the strips of a plate into a crop store; finished sites of an earlier, killed run are kept.

    The store holds the strips' own pixels (sampling "exact", no margin): what is read from it is what was
    exported, bit for bit. Its fingerprint is that of the files' bytes.

    Parameters
    ----------
    skip_missing : leave cells out whose image is not there (DeepProfiler lists crops that it could not make).

    Raises
    ------
    ImageFileError : images are missing, damaged or unlike the first one; each is named with its line.
    """
    folder = crops.path.parent
    sites = crops.sites_of(plate)
    found = [_present(folder, listed) for listed in sites] if skip_missing else sites
    parts: list[str] = []
    problems: list[Problem] = []

    def read(listed: ListedCrops) -> str | list[Problem]:
        return _import_site(crops, listed, form, work)

    for number, (_, outcome) in enumerate(read_ahead(found, read, workers=workers)):
        if isinstance(outcome, str):
            parts.append(outcome)
        else:
            problems += outcome
        progress(number + 1, len(found))
    if problems:
        more = len(problems) - MOST_PROBLEMS
        rest = [Problem(f"... and {more} more images", str(crops.path), "put these right first")]
        raise ImageFileError([*problems[:MOST_PROBLEMS], *(rest if more > 0 else [])])
    cells = sum(len(listed.cells) for listed in found)
    missing = sum(len(listed.cells) for listed in sites) - cells
    writer = FolderWriter(
        fingerprint=fingerprint(VERSION, parts),
        facts=_facts(crops, plate, form, found, parts, work),
        fill=lambda target: _fill(target, work, parts, form),
        finished=work.clear,
    )
    return ImportedCrops(writer, cells, missing)


def _present(folder: Path, listed: ListedCrops) -> ListedCrops:
    return listed.only(np.array([(folder / name).exists() for name in listed.images], bool))


def _import_site(
    crops: CropList, listed: ListedCrops, form: StripFormat, work: WorkFolder
) -> str | list[Problem]:
    """Store one site's strips in the work folder; the name of the part, or what is wrong."""
    files = [crops.path.parent / name for name in listed.images]
    contents, problems = _attempt(crops, listed, files, _content)
    if problems:
        return problems
    part = fingerprint(
        "imported crops",
        VERSION,
        CODEC,
        listed.site.key,
        [list(form.channels), form.box_size, form.has_mask],
        list(listed.cells),
        listed.centres.tolist(),
        contents,
    )
    if work.finished(part):
        return part
    strips, problems = _attempt(crops, listed, files, lambda path: read_alike(path, form))
    if problems:
        return problems
    empty = np.empty((0, form.box_size, form.box_size, form.planes), form.dtype)
    windows = np.stack(strips) if strips else empty
    write_site_part(work, part, windows, _columns(listed, form, windows))
    return part


def _attempt(
    crops: CropList, listed: ListedCrops, files: Sequence[Path], function: Callable[[Path], Result]
) -> tuple[list[Result], list[Problem]]:
    """The function of every file, and what is wrong with some, by file and line of the list."""
    results, problems = [], []
    for path, line in zip(files, listed.lines, strict=True):
        try:
            results.append(function(path))
        except ImageFileError as error:
            where = f"{path} ({crops.path.name}, line {line})"
            problems += [Problem(problem.what, where, problem.remedy) for problem in error.problems]
    return results, problems


def _content(path: Path) -> str:
    try:
        return fingerprint_bytes(path.read_bytes())
    except FileNotFoundError as error:
        raise ImageFileError(
            "the image is missing",
            where=str(path),
            remedy="put it back, or leave out the cells of missing images (--skip-missing)",
        ) from error
    except OSError as error:
        raise ImageFileError(
            f"the image cannot be read ({error.strerror or error})",
            where=str(path),
            remedy="check that the path names a file and that you may read it",
        ) from error


def _columns(listed: ListedCrops, form: StripFormat, windows: np.ndarray) -> dict[str, Any]:
    count = len(listed.cells)
    names = np.asarray(form.channels, dtype=object)
    origins = window_origins(listed.centres, form.geometry, NO_SIZE, NO_SIZE)
    channels = windows[..., : len(form.channels)]
    own = windows[..., -1] == OWN if form.has_mask else None
    flat = flat_channels(channels) if own is None else flat_channels(channels, own)
    sizes = ("array_rows", "array_cols", "original_rows", "original_cols")
    columns = {
        PLATE: [listed.site.plate] * count,
        WELL: [listed.site.well] * count,
        SITE: [listed.site.site] * count,
        CELL: list(listed.cells),
        "origin_row": origins[:, 0],
        "origin_col": origins[:, 1],
        "centre_row": listed.centres[:, 0],
        "centre_col": listed.centres[:, 1],
        **{name: [0] * count for name in sizes},
        "flat_channels": [",".join(names[row]) for row in flat],
    }
    if own is None:
        return columns
    # Which object it was is not known; each cell has its own, or none where its mask is empty.
    return {**columns, "object": np.where(own.any(axis=(1, 2)), np.arange(1, count + 1), 0)}


def _facts(
    crops: CropList,
    plate: str,
    form: StripFormat,
    sites: Sequence[ListedCrops],
    parts: Sequence[str],
    work: WorkFolder,
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "plate": plate,
        "codec": CODEC,
        "channels": list(form.channels),
        "dtype": form.dtype,
        "side": form.box_size,
        "geometry": form.geometry.facts(),
        "cells": sum(len(listed.cells) for listed in sites),
        "flat_cells": flat_cells(work, parts),
        "sites": len(sites),
        "failures": [],
        IMPORTED: str(crops.path),
    }
    if form.has_mask:
        outside, shared = cells_off_objects(work, parts)
        facts |= {"mask": True, "mask_sampling": "nearest"}
        facts |= {"cells_without_object": outside, "cells_sharing_object": shared}
    return facts


def _fill(folder: Path, work: WorkFolder, parts: Sequence[str], form: StripFormat) -> None:
    assemble_store(folder, work, parts, masked=form.has_mask)
