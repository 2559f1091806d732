"""Well profiles from the features of single cells, in one pass over a stream of batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Literal

import numpy as np

Aggregation = Literal["mean", "median"]
CellBatch = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class WellProfiles:
    """The profiles of the wells of one plate.

    Attributes
    ----------
    wells : well names in the order they arrived; only those with enough cells.
    features : (wells, features) float32.
    cells : (wells,) int64, cells that went into each profile.
    excluded : cells left out because a feature was not finite (NaN or infinite), over all wells.
    too_few : cells left out with their well, by well name, where fewer than `minimum_cells` were left.
    """

    wells: list[str]
    features: np.ndarray
    cells: np.ndarray
    excluded: int
    too_few: dict[str, int]


def aggregate_wells(
    batches: Iterable[CellBatch], method: Aggregation = "mean", minimum_cells: int = 1
) -> WellProfiles:
    """Mean or median of the cells of every well (the well aggregation of pycytominer's `aggregate`).

    The cells of one well are held in memory at a time. Means are sums in float64 in the order of the cells,
    so the way cells are cut into batches does not change a bit of the result.

    Parameters
    ----------
    batches : (wells, features) pairs: well name of each cell (n,), and features (n, d) float32. All cells of
        a well come one after another, possibly over several batches; d is the same throughout.
    method : `mean` or `median`.
    minimum_cells : wells with fewer usable cells get no profile; at least 1.

    Raises
    ------
    ValueError : unknown method, `minimum_cells` below 1, a well that comes back after another one, batches of
        different width or with other numbers of names than of cells.
    """
    if method not in ("mean", "median"):
        raise ValueError(f"Expected method 'mean' or 'median'. Received {method!r}.")
    if minimum_cells < 1:
        raise ValueError(f"Expected minimum_cells of at least 1. Received {minimum_cells}.")
    wells: list[str] = []
    profiles: list[np.ndarray] = []
    counts: list[int] = []
    too_few: dict[str, int] = {}
    excluded = 0
    stream = iter(batches)
    first = next(stream, None)
    # A plate without cells still has profiles of the right width.
    width = 0 if first is None else first[1].shape[-1]
    for well, features in _cells_by_well(() if first is None else chain((first,), stream)):
        usable = np.isfinite(features).all(axis=1)
        count = int(usable.sum())
        excluded += len(features) - count
        if count < minimum_cells:
            too_few[well] = count
            continue
        wells.append(well)
        profiles.append(_summarise(features[usable], method))
        counts.append(count)
    stacked = np.stack(profiles) if profiles else np.empty((0, width))
    return WellProfiles(wells, stacked.astype(np.float32), np.array(counts, np.int64), excluded, too_few)


def _summarise(features: np.ndarray, method: Aggregation) -> np.ndarray:
    if method == "median":
        # float64: the mean of the two middle cells of an even count is not rounded twice.
        return np.median(features.astype(np.float64), axis=0)
    return features.sum(axis=0, dtype=np.float64) / len(features)


def _cells_by_well(batches: Iterable[CellBatch]) -> Iterator[tuple[str, np.ndarray]]:
    """Join the pieces of each well; yields (well, (cells, d)) in the order wells arrive."""
    finished: set[str] = set()
    current: str | None = None
    pieces: list[np.ndarray] = []
    width: int | None = None
    for names, features in batches:
        if features.ndim != 2 or len(names) != len(features):
            raise ValueError(
                f"Expected one well name per row of (cells, features). "
                f"Received {len(names)} names for an array of shape {features.shape}."
            )
        if width is not None and features.shape[1] != width:
            raise ValueError(f"Expected batches of {width} features. Received {features.shape[1]}.")
        width = features.shape[1]
        for well, part in _runs(np.asarray(names), features):
            if well != current:
                if current is not None:
                    yield current, np.concatenate(pieces)
                    finished.add(current)
                if well in finished:
                    raise ValueError(f"Well {well} comes back after other wells. Sort the cells by well.")
                current, pieces = well, []
            pieces.append(part)
    if current is not None:
        yield current, np.concatenate(pieces)


def _runs(names: np.ndarray, features: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Cut one batch where the well changes."""
    if not len(names):
        return
    starts = np.concatenate([[0], np.flatnonzero(names[1:] != names[:-1]) + 1, [len(names)]])
    for start, stop in pairwise(starts):
        yield str(names[start]), features[start:stop]
