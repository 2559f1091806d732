"""Correlations within sets of wells, each set summed up by its median (a block of the correlation matrix)."""

from collections.abc import Sequence

import numpy as np

# float64 numbers that a batch of sets may hold.
_BATCH = 4_000_000


def correlation_rows(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Profiles as unit vectors whose products are Pearson correlations.

    Parameters
    ----------
    features : (wells, features) float64.

    Returns
    -------
    (units, usable)
        (wells, features) float64, and (wells,) bool: False for profiles with one value throughout, which
        correlate with nothing; their rows are zeros.
    """
    centred = features - features.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    # Rounding of the mean leaves a little of a constant profile.
    scale = np.abs(features).max(axis=1, initial=0.0, keepdims=True) * np.sqrt(features.shape[1])
    usable = length > 1e-12 * scale
    units = np.divide(centred, length, out=np.zeros_like(centred), where=usable)
    return units, usable[:, 0]


def pair_correlations(units: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Correlations between the members of each set.

    Parameters
    ----------
    units : (wells, features) float64, as from `correlation_rows`.
    sets : (sets, size) int row numbers.

    Returns
    -------
    np.ndarray
        (sets, size * (size - 1) / 2) float64, pairs in the order of `np.triu_indices`.
    """
    size = sets.shape[1]
    first, second = np.triu_indices(size, k=1)
    step = max(1, _BATCH // max(1, size * max(size, units.shape[1])))
    found = np.empty((len(sets), len(first)))
    for start in range(0, len(sets), step):
        members = units[sets[start : start + step]]
        blocks = members @ members.transpose(0, 2, 1)
        found[start : start + step] = blocks[:, first, second]
    return found


def block_medians(pairs: np.ndarray, size: int, *, diagonal: bool) -> np.ndarray:
    """Median of each block.

    Parameters
    ----------
    pairs : (sets, pairs) correlations above the diagonal of each block.
    size : members of a set.
    diagonal : take the median of the whole block with the ones on its diagonal, as the notebooks of the
        DeepProfiler papers do; otherwise of the pairs only.

    Returns
    -------
    np.ndarray
        (sets,) float64.
    """
    if diagonal:
        ones = np.ones((len(pairs), size), pairs.dtype)
        pairs = np.concatenate([pairs, pairs, ones], axis=1)
    return np.median(pairs, axis=1).astype(np.float64)


def drawn_medians(
    units: np.ndarray,
    candidates: np.ndarray,
    size: int,
    draws: int,
    seed: Sequence[int],
    *,
    diagonal: bool,
) -> np.ndarray:
    """(draws,) float64, the block medians of random sets of `size` of the candidates, none twice in a set."""
    rng = np.random.default_rng(list(seed))
    sets = np.stack([rng.choice(candidates, size, replace=False, shuffle=False) for _ in range(draws)])
    return block_medians(pair_correlations(units, sets), size, diagonal=diagonal)
