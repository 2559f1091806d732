"""How good a single image is: focus, saturation, contrast, and what its channel is recognised by.

Measures: Bray et al. 2012 (J Biomol Screen 17:266), with the slope of the power spectrum for focus.
Thresholds and comparisons with other images are in `quality_rules`.
"""

from dataclasses import astuple, dataclass, fields
from functools import lru_cache

import numpy as np
from scipy import fft, ndimage

BLOCK = 4
"""Pixels along each axis whose mean is one value of the grey-level statistics; single hot pixels vanish."""
BLOCK_ROWS = 128
PERCENTILES = (1.0, 50.0, 75.0, 90.0, 97.0, 99.9)
SPECTRUM_SIDE = 512
"""Longest side, in pixels, of the middle part of the image that the spectrum is taken of."""
NOISE_SIDE = 256
"""The same for the noise."""
RINGS = 12
LOWEST_FREQUENCY = 4.0
"""Periods over the image's side at which the spectrum begins: below lies the illumination."""
COARSE_FREQUENCY = 1 / 8
TOP_SHARE = 0.95
PILE_UP = 10.0
"""The highest grey level is a limit of the camera when it is so many times as frequent as those below it."""
QUANTIZATION_NOISE = 12**-0.5
"""Grey levels: the standard deviation of rounding to whole numbers, the least noise an image has."""
_LAPLACE_NOISE = 20**-0.5 * 1.4826


@dataclass(frozen=True)
class ImageQuality:
    """Measures of one image.

    Attributes
    ----------
    focus_slope, coarse_slope : slope of log power over log spatial frequency, up to the finest detail and up
        to periods of eight pixels; blur makes the first more negative. NaN for an image of one grey level.
    saturated_fraction : share of pixels cut off at the highest grey level.
    noise : standard deviation of the pixel noise, grey levels.
    p1, p50, p75, p90, p97, p99_9 : percentiles of the means of 4 x 4 pixels, grey levels.
    """

    focus_slope: float
    coarse_slope: float
    saturated_fraction: float
    noise: float
    p1: float
    p50: float
    p75: float
    p90: float
    p97: float
    p99_9: float

    @property
    def values(self) -> tuple[float, ...]:
        """All measures, in the order of `MEASURES`."""
        return astuple(self)


MEASURES = tuple(field.name for field in fields(ImageQuality))


def measure_quality(image: np.ndarray) -> ImageQuality:
    """Measure one image.

    Parameters
    ----------
    image : (rows, cols) uint8 or uint16.
    """
    middle = _middle(image)
    noise = noise_level(_middle(middle, NOISE_SIDE))
    means = block_means(image)
    slopes = (
        (float("nan"), float("nan"))
        if middle.min() == middle.max()
        else _slopes(power_by_frequency(middle), _frequencies(middle.shape))
    )
    return ImageQuality(
        *slopes, saturated_fraction(image), noise, *np.percentile(means, PERCENTILES).tolist()
    )


def block_means(image: np.ndarray, block: int = BLOCK, most_rows: int = BLOCK_ROWS) -> np.ndarray:
    """Means of `block` x `block` pixels, (rows of blocks, columns of blocks) float64; the rest is dropped.

    Of tall images every second, third, ... row of blocks is taken, so that `most_rows` to twice as many are
    left. Images smaller than a block are returned as they are.
    """
    rows, cols = (side // block for side in image.shape)
    if not rows or not cols:
        return image.astype(np.float64)
    step = max(1, rows // most_rows) * block
    lines = [image[start : rows * block : step, : cols * block] for start in range(block)]
    sums = np.add.reduce([line.astype(np.uint32) for line in lines])
    return np.add.reduce([sums[:, start::block] for start in range(block)]) / block**2


def saturated_fraction(image: np.ndarray) -> float:
    """The share of pixels cut off at the top of the camera's range, wherever that lies.

    A 12-bit camera writes 16-bit files, so the type's own limit says nothing. What is cut off piles up at the
    image's highest grey level; in an image that is not, the highest level is about as frequent as the levels
    just below it.
    """
    highest = int(image.max())
    if highest == int(image.min()):
        return float(highest == np.iinfo(image.dtype).max)
    lowest = min(int(TOP_SHARE * highest), highest - 1)
    at_top = int(np.count_nonzero(image == highest))
    below = int(np.count_nonzero(image >= lowest)) - at_top
    is_limit = at_top > PILE_UP * max(below / (highest - lowest), 1.0)
    return at_top / image.size if is_limit else 0.0


def noise_level(image: np.ndarray) -> float:
    """Standard deviation of the pixel noise, grey levels: from the median size of the Laplacian.

    Structure counts little, because most pixels lie on none; the rounding of grey levels is the least.
    """
    response = np.abs(ndimage.laplace(image.astype(np.float32)))
    return max(float(np.median(response)) * _LAPLACE_NOISE, QUANTIZATION_NOISE)


def power_by_frequency(image: np.ndarray) -> np.ndarray:
    """Mean power in rings of spatial frequency, (rings,) float64; the rings are those of `_frequencies`."""
    window, rings, counts = _rings(image.shape)
    pixels = image.astype(np.float32)
    pixels -= pixels.mean()
    power = np.abs(fft.rfft2(pixels * window)) ** 2
    sums = np.bincount(rings, power.ravel(), minlength=RINGS + 2)[1 : RINGS + 1]
    return sums / np.maximum(counts, 1)


def _middle(image: np.ndarray, longest: int = SPECTRUM_SIDE) -> np.ndarray:
    top, left = (max(0, (side - longest) // 2) for side in image.shape)
    return image[top : top + longest, left : left + longest]


def _edges(shape: tuple[int, ...]) -> np.ndarray:
    # Tiny images have no frequency below the finest: then there is one ring for all.
    return np.geomspace(min(LOWEST_FREQUENCY / min(shape), 0.4), 0.5, RINGS + 1)


def _frequencies(shape: tuple[int, ...]) -> np.ndarray:
    """Middle of each ring, cycles a pixel."""
    edges = _edges(shape)
    return np.sqrt(edges[:-1] * edges[1:])


@lru_cache(maxsize=4)
def _rings(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Window against the image's borders, the ring of every frequency, and how many lie in each ring."""
    rows, cols = shape
    radius = np.hypot(fft.fftfreq(rows)[:, None], fft.rfftfreq(cols)[None, :])
    rings = np.digitize(radius.ravel(), _edges(shape))
    window = np.outer(np.hanning(rows), np.hanning(cols)).astype(np.float32)
    return window, rings, np.bincount(rings, minlength=RINGS + 2)[1 : RINGS + 1]


def _slopes(power: np.ndarray, frequencies: np.ndarray) -> tuple[float, float]:
    """The slopes over all frequencies, and over the coarse ones; NaN where too few have power."""
    found = []
    for highest in (0.5, COARSE_FREQUENCY):
        there = (power > 0) & (frequencies <= highest)
        if there.sum() < 3:
            found.append(float("nan"))
        else:
            found.append(float(np.polyfit(np.log10(frequencies[there]), np.log10(power[there]), 1)[0]))
    return found[0], found[1]
