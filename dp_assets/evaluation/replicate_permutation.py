"""Are the replicates of treatments more alike than wells that change places within their plates?"""

from dataclasses import dataclass

import numpy as np

from dp_assets.evaluation.correlation_blocks import block_medians

LEAST_SHUFFLES = 1_000
MOST_PAIRS = 500_000_000


@dataclass(frozen=True)
class ReplicateTest:
    """What shuffling the treatments finds.

    Attributes
    ----------
    p_value : of the mean replicate correlation over treatments.
    p_values : (treatments,) of each treatment's own correlation.
    mean : the mean over treatments that shuffled treatments get on average.
    above : the fraction of shuffled treatments above the threshold.
    shuffles : how many there were.
    """

    p_value: float
    p_values: np.ndarray
    mean: float
    above: float
    shuffles: int


def permutation_test(
    correlations: np.ndarray,
    treatment: np.ndarray,
    plate: np.ndarray,
    observed: np.ndarray,
    *,
    threshold: float,
    permutations: int,
    seed: int,
    diagonal: bool,
) -> ReplicateTest:
    """Shuffle which well got which treatment, plate by plate.

    Plates keep the treatments they have, so what makes wells of a plate alike is in the null as well: a
    treatment on the same plates by chance is no better than any other. p-values are (1 + shuffles that are
    at least as high) / (1 + shuffles).

    Parameters
    ----------
    correlations : (wells, wells), between all treated wells.
    treatment : (wells,) int in 0 ... treatments - 1 for treatments with several wells, -1 for the others.
    plate : (wells,) int.
    observed : (treatments,) replicate correlation of each, the block medians.
    threshold : see `ReplicateTest.above`.
    permutations : how many shuffles; of very many replicates fewer, but not below 1,000 (see `affordable`).
    seed : of the shuffles.
    diagonal : as in `block_medians`.
    """
    blocks = _blocks(treatment, len(observed))
    permutations = affordable(permutations, sum(block.first.size for block in blocks))
    rng = np.random.default_rng([seed, 3])
    by_plate = np.argsort(plate, kind="stable")
    shuffled = np.arange(len(treatment))
    higher = np.zeros(len(observed), np.int64)
    # A shuffle that changes nothing must count as equal, whatever the rounding.
    bar, mean_bar = observed - 1e-9, float(observed.mean()) - 1e-9
    higher_means, mean, above = 0, 0.0, 0
    for _ in range(permutations):
        shuffled[by_plate] = np.argsort(plate + rng.random(len(plate)))
        found = _medians(correlations, blocks, shuffled, len(observed), diagonal)
        higher += found >= bar
        average = found.mean()
        higher_means += int(average >= mean_bar)
        mean += average
        above += int((found > threshold).sum())
    return ReplicateTest(
        (1 + higher_means) / (1 + permutations),
        (1 + higher) / (1 + permutations),
        float(mean) / permutations,
        above / (permutations * len(observed)),
        permutations,
    )


def affordable(permutations: int, pairs: int) -> int:
    """How many shuffles look at no more than 500 million pairs of wells (about half a minute).

    Never fewer than 1,000, unless fewer are asked for. The pairs grow with the square of the replicates.
    """
    return min(permutations, max(LEAST_SHUFFLES, MOST_PAIRS // max(1, pairs)))


@dataclass(frozen=True)
class _Blocks:
    """Treatments with the same number of wells: their numbers, and the wells of every pair of replicates."""

    treatments: np.ndarray
    first: np.ndarray
    second: np.ndarray
    size: int


def _blocks(treatment: np.ndarray, count: int) -> list[_Blocks]:
    sizes = np.bincount(treatment[treatment >= 0], minlength=count)
    order = np.argsort(treatment, kind="stable")[(treatment < 0).sum() :]
    starts = np.cumsum(sizes) - sizes
    found = []
    for size in np.unique(sizes):
        chosen = np.flatnonzero(sizes == size)
        wells = order[starts[chosen][:, None] + np.arange(size)]
        first, second = np.triu_indices(size, k=1)
        found.append(_Blocks(chosen, wells[:, first], wells[:, second], int(size)))
    return found


def replicate_correlations(
    correlations: np.ndarray, treatment: np.ndarray, count: int, *, diagonal: bool
) -> np.ndarray:
    """(treatments,) float64, the median of each treatment's block; arguments as in `permutation_test`."""
    every = np.arange(len(treatment))
    return _medians(correlations, _blocks(treatment, count), every, count, diagonal)


def _medians(
    correlations: np.ndarray, blocks: list[_Blocks], wells: np.ndarray, count: int, diagonal: bool
) -> np.ndarray:
    found = np.empty(count)
    for block in blocks:
        pairs = correlations[wells[block.first], wells[block.second]]
        found[block.treatments] = block_medians(pairs, block.size, diagonal=diagonal)
    return found
