"""Percentiles close to both ends of many values, exactly, without ordering all of them."""

from collections.abc import Callable

import numpy as np

_SAMPLE = 2**14
_MARGIN = 4
_BLOCK = 2**16


Tails = Callable[[float, float], tuple[np.ndarray, np.ndarray]]


def tail_percentiles(values: np.ndarray, lower: float, upper: float) -> tuple[float, float]:
    """A low and a high percentile, equal bit for bit to those of `np.percentile`.

    A sample says about where they lie; only the values beyond are put in order. That is faster for
    the percentiles 0.05 and 99.95 of an image, and copies few of its values, unless many are equal there.

    Parameters
    ----------
    values : float64 of any shape, at least one, none NaN.
    lower, upper : percentiles, 0 to 100.
    """
    flat = values.ravel()
    found = percentiles_of_tails(
        len(flat), flat[:: sample_step(len(flat))], lambda low, high: _tails(flat, low, high), lower, upper
    )
    if found is not None:
        return found
    low, high = np.percentile(flat, (lower, upper))
    return float(low), float(high)


def sample_step(count: int) -> int:
    """Every how manyth of so many values makes a large enough sample."""
    return max(1, count // _SAMPLE)


def percentiles_of_tails(
    count: int, sample: np.ndarray, tails: Tails, lower: float, upper: float
) -> tuple[float, float] | None:
    """The percentiles of values that are not all at hand.

    Parameters
    ----------
    count : number of values.
    sample : some of them, float64, from all over.
    tails : (low, high) -> all values at or below `low`, and all at or above `high`, float64, in any order.
    lower, upper : percentiles, 0 to 100.

    Returns
    -------
    As `tail_percentiles`; None where the sample is not like the rest, so that the tails do not reach.
    """
    # How many values, from either end, are needed to interpolate.
    low_place, high_place = (count - 1) * (lower / 100), (count - 1) * (upper / 100)
    needed = int(low_place) + 2, count - int(high_place)
    sample = np.sort(sample)
    low_tail, high_tail = tails(
        float(sample[_rank(needed[0], count, len(sample))]),
        float(sample[-1 - _rank(needed[1], count, len(sample))]),
    )
    if len(low_tail) < min(needed[0], count) or len(high_tail) < needed[1]:
        return None
    return (
        _interpolated(low_tail, low_place),
        _interpolated(high_tail, high_place - (count - len(high_tail))),
    )


def _rank(needed: int, count: int, size: int) -> int:
    """Place in an ordered sample beyond which `needed` values lie, almost certainly."""
    expected = needed * size / count
    return min(size - 1, int(expected + _MARGIN * np.sqrt(expected)) + _MARGIN)


def _tails(flat: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """The values at or below `low`, and those at or above `high`."""
    below, above = [], []
    for start in range(0, len(flat), _BLOCK):
        block = flat[start : start + _BLOCK]
        below.append(block[block <= low])
        above.append(block[block >= high])
    return np.concatenate(below), np.concatenate(above)


def _interpolated(tail: np.ndarray, place: float) -> float:
    """The value at a place between two, counted from the least one; rounded as `np.percentile` rounds."""
    before = int(np.floor(place))
    after = min(before + 1, len(tail) - 1)
    ordered = np.partition(tail, (before, after))
    share = place - before
    difference = ordered[after] - ordered[before]
    if share >= 0.5:
        return float(ordered[after] - difference * (1 - share))
    return float(ordered[before] + difference * share)
