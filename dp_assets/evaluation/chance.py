"""What rankings would get by chance: the expected scores of neighbours in random order."""

import numpy as np
from scipy.special import gammaln


def no_hit_within(relevant: np.ndarray, neighbours: int, ranks: np.ndarray) -> np.ndarray:
    """How likely the first `ranks` neighbours of a random order hold no relevant one.

    Parameters
    ----------
    relevant : (q,) int, relevant neighbours of each query, at least 1.
    neighbours : all neighbours of a query.
    ranks : (r,) int, from 0 to `neighbours`.

    Returns
    -------
    numpy.ndarray
        (q, r): C(neighbours - rank, relevant) / C(neighbours, relevant).
    """
    left = neighbours - ranks[None, :] - relevant[:, None]
    inside = np.maximum(left, 0)
    log = (
        gammaln(neighbours - ranks[None, :] + 1)
        - gammaln(inside + 1)
        - gammaln(neighbours + 1)
        + gammaln(neighbours - relevant[:, None] + 1)
    )
    return np.where(left >= 0, np.exp(np.minimum(log, 0)), 0.0)


def expected_reciprocal_rank(relevant: np.ndarray, neighbours: int) -> float:
    """The mean over queries of the expected 1 / rank of the first relevant neighbour."""
    counts, queries = np.unique(relevant, return_counts=True)
    ranks = np.arange(neighbours + 1)
    first_at = -np.diff(no_hit_within(counts, neighbours, ranks), axis=1)
    return float(np.average(first_at @ (1 / ranks[1:]), weights=queries))


def expected_average_precision(relevant: np.ndarray, neighbours: int) -> float:
    """The mean over queries of the expected average precision (Bestgen 2015)."""
    harmonic = (1 / np.arange(1, neighbours + 1)).sum()
    further = (relevant - 1) / max(neighbours - 1, 1) * (neighbours - harmonic)
    return float(np.mean((harmonic + further) / neighbours))
