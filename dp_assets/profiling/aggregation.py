"""Profiles of sites or wells from the features of single cells, in one pass over a stream of batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

from dp_assets.config.profile_sections import Summary
from dp_assets.config.protocol import Level
from dp_assets.profiling.outlier_cells import typical_cells

CellBatch = tuple[np.ndarray, np.ndarray]
Key = tuple[str, ...]

_KEY_LENGTH: dict[Level, int] = {"well": 2, "site": 3}


@dataclass(frozen=True)
class CellProfiles:
    """The profiles of sites or wells.

    Attributes
    ----------
    keys : (plate, well) or (plate, well, site) of each profile, in the order they arrived; only those with
        enough cells.
    features : (profiles, features) float32.
    cells : (profiles,) int64, cells that went into each profile.
    excluded : cells left out because a feature was not finite (NaN or infinite), over all sites and wells.
    outliers : cells left out because they lie far from their well's median cell.
    too_few : usable cells of each site or well that had fewer than `minimum_cells`.
    """

    keys: list[Key]
    features: np.ndarray
    cells: np.ndarray
    excluded: int
    outliers: int
    too_few: dict[Key, int]


def aggregate_cells(
    batches: Iterable[CellBatch],
    level: Level,
    method: Summary = "mean",
    *,
    minimum_cells: int = 1,
    outlier_cells: float | None = None,
) -> CellProfiles:
    """Mean or median of the cells of every site or every well (as pycytominer's `aggregate`).

    The cells of one well are held in memory at a time. Means are sums in float64 in the order of the cells,
    so the way cells are cut into batches does not change a bit of the result. First cells with a value that
    is not finite are left out, then outliers. Outliers are looked for among the cells of a whole well, at
    either level, so that a well and its sites agree on them.

    Parameters
    ----------
    batches : (names, features) pairs: plate, well and site of each cell, (cells, 3) object array of str, and
        (cells, features) float32. All cells of a well come one after another, possibly over several batches;
        within a well, sites may come in any order. The number of features is the same throughout.
    level : what gets a profile, "site" or "well".
    method : "mean" or "median".
    minimum_cells : sites or wells (see `level`) with fewer usable cells get no profile; at least 1.
    outlier_cells : threshold of `outlier_cells.typical_cells`; None keeps every cell.

    Raises
    ------
    ValueError : unknown level or method, `minimum_cells` below 1, a well that comes back after another one,
        batches of different width or with other numbers of names than of cells.
    """
    if level not in _KEY_LENGTH:
        raise ValueError(f"Expected level 'site' or 'well'. Received {level!r}.")
    if method not in ("mean", "median"):
        raise ValueError(f"Expected method 'mean' or 'median'. Received {method!r}.")
    if minimum_cells < 1:
        raise ValueError(f"Expected minimum_cells of at least 1. Received {minimum_cells}.")
    keys: list[Key] = []
    profiles: list[np.ndarray] = []
    counts: list[int] = []
    too_few: dict[Key, int] = {}
    excluded = outliers = 0
    stream = iter(batches)
    first = next(stream, None)
    # A plate without cells still has profiles of the right width.
    width = 0 if first is None else first[1].shape[-1]
    for names, features in _cells_by_well(() if first is None else chain((first,), stream)):
        finite = np.asarray(np.isfinite(features).all(axis=1))
        usable = finite.copy()
        if outlier_cells is not None:
            usable[finite] = typical_cells(features[finite], outlier_cells)
        excluded += int((~finite).sum())
        outliers += int((finite & ~usable).sum())
        for key, rows in _groups(names, _KEY_LENGTH[level]):
            chosen = features[rows & usable]
            if len(chosen) < minimum_cells:
                too_few[key] = len(chosen)
                continue
            keys.append(key)
            profiles.append(summary(chosen, method))
            counts.append(len(chosen))
    stacked = np.stack(profiles) if profiles else np.empty((0, width))
    return CellProfiles(
        keys, stacked.astype(np.float32), np.array(counts, np.int64), excluded, outliers, too_few
    )


def summary(features: np.ndarray, method: Summary) -> np.ndarray:
    """(rows, features) to (features,) float64: the mean or median of at least one row.

    Sums are taken in float64 in the order of the rows. A value that is not finite shows in the result.
    """
    if method == "median":
        # float64: the mean of the two middle cells of an even count is not rounded twice.
        return np.median(features.astype(np.float64), axis=0)
    # Only an array in C order is summed row after row.
    return np.ascontiguousarray(features).sum(axis=0, dtype=np.float64) / len(features)


def _groups(names: np.ndarray, length: int) -> Iterator[tuple[Key, np.ndarray]]:
    """(key, mask over the cells) of the well itself or of each of its sites, in order of appearance."""
    well: Key = tuple(names[0, :2])
    if length == 2:
        yield well, np.ones(len(names), dtype=bool)
        return
    for site in dict.fromkeys(names[:, 2]):
        yield (*well, site), names[:, 2] == site


def _cells_by_well(batches: Iterable[CellBatch]) -> Iterator[CellBatch]:
    """Join the pieces of each well; yields one batch per well in the order wells arrive."""
    finished: set[Key] = set()
    current: Key | None = None
    pieces: list[CellBatch] = []
    width: int | None = None
    for names, features in batches:
        if features.ndim != 2 or names.shape != (len(features), 3):
            raise ValueError(
                f"Expected plate, well and site for each row of (cells, features). "
                f"Received names of shape {names.shape} for an array of shape {features.shape}."
            )
        if width is not None and features.shape[1] != width:
            raise ValueError(f"Expected batches of {width} features. Received {features.shape[1]}.")
        width = features.shape[1]
        for well, part in _runs(names, features):
            if well != current:
                if current is not None:
                    yield _joined(pieces)
                    finished.add(current)
                if well in finished:
                    raise ValueError(
                        f"Expected the cells of a well one after another. "
                        f"Received well {'/'.join(well)}, which comes back after other wells."
                    )
                current, pieces = well, []
            pieces.append(part)
    if current is not None:
        yield _joined(pieces)


def _joined(pieces: list[CellBatch]) -> CellBatch:
    return np.concatenate([names for names, _ in pieces]), np.concatenate([part for _, part in pieces])


def _runs(names: np.ndarray, features: np.ndarray) -> Iterator[tuple[Key, CellBatch]]:
    """Cut one batch where the well changes."""
    if not len(names):
        return
    changes = (names[1:, :2] != names[:-1, :2]).any(axis=1)
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1, [len(names)]])
    for start, stop in pairwise(starts):
        yield tuple(names[start, :2]), (names[start:stop], features[start:stop])
