"""Loops over the pixels of planes, compiled by Numba: for what NumPy needs several passes and copies.

Import this module where a loop is used, not on top (`compiled_loops`). Results equal those of the NumPy
expressions they stand for, bit for bit.
"""

import numpy as np

from dp_assets.imaging.compiled_loops import compiled, read_only

_CHUNK = 256
_ROUNDING = 2.5e-7
"""More than the relative error of a product of two numbers rounded to float32."""
_MOST_UNSURE = 0.05
_PIXELS = ("uint8", "uint16")
_FUNCTION = (read_only("float64"), read_only("float32"))
_MATRIX = f"{read_only('int32')}, {read_only('int32')}, {read_only('float64')}"


@compiled(f"void({read_only(kind, 2)}, {_MATRIX}, float64[:, ::1])" for kind in (*_PIXELS, "float64"))
def weighted_rows(
    plane: np.ndarray, starts: np.ndarray, places: np.ndarray, weights: np.ndarray, sums: np.ndarray
) -> None:
    """Sums of weighted rows: a sparse matrix (new rows, rows) times a plane (rows, cols).

    Parameters
    ----------
    plane : (rows, cols) uint8, uint16 or float64.
    starts, places, weights : the matrix in compressed rows: `indptr` and `indices` int32, `data` float64.
    sums : (new rows, cols) float64, filled.
    """
    for row in range(len(starts) - 1):
        sums[row, :] = 0.0
        for entry in range(starts[row], starts[row + 1]):
            weight = weights[entry]
            source = plane[places[entry]]
            for col in range(plane.shape[1]):
                sums[row, col] += weight * source[col]


@compiled([f"int64[::1]({read_only('uint16')})"])
def counts_of_16_bits(values: np.ndarray) -> np.ndarray:
    """How often each value occurs: uint16 (n,) to int64 (65536,)."""
    # Two tables: neighbours are often equal, and a counter that was just written is slow to read.
    counts = np.zeros((2, 65536), np.uint32)
    even = len(values) // 2 * 2
    for place in range(0, even, 2):
        counts[0, values[place]] += 1
        counts[1, values[place + 1]] += 1
    if even < len(values):
        counts[0, values[even]] += 1
    return counts[0].astype(np.int64) + counts[1]


@compiled([f"int64[::1]({read_only('uint8')})"])
def counts_of_8_bits(values: np.ndarray) -> np.ndarray:
    """How often each value occurs: uint8 (n,) to int64 (256,)."""
    counts = np.zeros((4, 256), np.uint32)
    whole = len(values) // 4 * 4
    for place in range(0, whole, 4):
        counts[0, values[place]] += 1
        counts[1, values[place + 1]] += 1
        counts[2, values[place + 2]] += 1
        counts[3, values[place + 3]] += 1
    for place in range(whole, len(values)):
        counts[0, values[place]] += 1
    return counts[0].astype(np.int64) + counts[1] + counts[2] + counts[3]


@compiled(
    f"UniTuple(float64[::1], 2)({', '.join((read_only(kind), *_FUNCTION))}, float64, float64)"
    for kind in _PIXELS
)
def quotients_beyond(
    pixels: np.ndarray, divisors: np.ndarray, reciprocals: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """The values of `pixels / divisors` that are at most `low`, and those that are at least `high`.

    Only candidates are divided; which these are is told from products in float32.

    Parameters
    ----------
    pixels : (n,) uint8 or uint16.
    divisors : (n,) float64, positive.
    reciprocals : (n,) float32, one by each divisor.
    low, high : not negative.
    """
    below, above = np.empty(len(pixels)), np.empty(len(pixels))
    least, most = np.float32(low * (1 + 2 * _ROUNDING)), np.float32(high * (1 - 2 * _ROUNDING))
    count_below, count_above = 0, 0
    # Slices from zero: the compiler must see that no index is negative to work on several pixels at once.
    for start in range(0, len(pixels), _CHUNK):
        some, factors = pixels[start : start + _CHUNK], reciprocals[start : start + _CHUNK]
        candidates = np.int32(0)
        for place in range(len(some)):
            value = np.float32(some[place]) * factors[place]
            candidates += np.int32(value <= least) | np.int32(value >= most)
        if candidates == 0:
            continue
        functions = divisors[start : start + _CHUNK]
        for place in range(len(some)):
            value = np.float32(some[place]) * factors[place]
            if value <= least:
                quotient = some[place] / functions[place]
                if quotient <= low:
                    below[count_below] = quotient
                    count_below += 1
            if value >= most:
                quotient = some[place] / functions[place]
                if quotient >= high:
                    above[count_above] = quotient
                    count_above += 1
    return below[:count_below].copy(), above[:count_above].copy()


@compiled(
    f"void({', '.join((read_only(kind), *_FUNCTION))}, float64, float64, uint8[::1])" for kind in _PIXELS
)
def stretched_quotients(
    pixels: np.ndarray,
    divisors: np.ndarray,
    reciprocals: np.ndarray,
    lower: float,
    upper: float,
    levels: np.ndarray,
) -> None:
    """`pixels / divisors`, from `lower` to `upper`, as grey levels 0 to 255.

    Computed in float32, and again in float64 wherever rounding to a whole level could then differ.

    Parameters
    ----------
    pixels, divisors, reciprocals : as for `quotients_beyond`.
    lower, upper : not negative, lower < upper.
    levels : (n,) uint8, filled.
    """
    span = upper - lower
    unsure = 255 * _ROUNDING * (upper / span + 1)
    never_sure = unsure > _MOST_UNSURE
    margin, rest = np.float32(unsure), np.float32(1 - unsure)
    offset, scale = np.float32(lower), np.float32(255 / span)
    zero, half, white = np.float32(0), np.float32(0.5), np.float32(255)
    for start in range(0, len(pixels), _CHUNK):
        some, factors = pixels[start : start + _CHUNK], reciprocals[start : start + _CHUNK]
        made = levels[start : start + _CHUNK]
        doubts = np.int32(0)
        for place in range(len(some)):
            level = (np.float32(some[place]) * factors[place] - offset) * scale
            level = min(max(level, zero), white) + half
            whole = np.int32(level)
            share = level - np.float32(whole)
            doubts += np.int32(share < margin) | np.int32(share > rest)
            made[place] = np.uint8(whole)
        if doubts == 0 and not never_sure:
            continue
        functions = divisors[start : start + _CHUNK]
        for place in range(len(some)):
            value = min(max(some[place] / functions[place], lower), upper)
            # In this order: the recorded images of the original are reproduced bit for bit.
            made[place] = np.uint8(np.rint((value - lower) / span * 255))
