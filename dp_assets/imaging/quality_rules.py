"""Which fields of view are odd: compared with the rest of their plate, and plates with earlier ones.

Comparisons are robust (medians, and median absolute deviations scaled to standard deviations), so the odd
fields do not hide themselves as long as they are fewer than half.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from dp_assets.imaging.plate_quality import PlateQuality
from dp_assets.imaging.quality import BLOCK

LEAST_FIELDS = 6
"""Fields of view that a plate must have for any of them to be compared with the rest."""
TO_DEVIATION = 1.4826
LEAST_SLOPE_DEVIATION = 0.05
"""A plate whose fields agree better than this is not the reason to suspect one of them."""
GAUSSIAN_SHAPE = 8.0
"""The 99.9th percentile lies 3.1 standard deviations above the median of noise; a field of cells has more."""
MOST_DEVIATIONS = 8.0
"""A mark that is further off counts so much: one mark alone decides nothing."""
FITS = 5.0
"""Deviation of two channels together up to which they fit when exchanged; well-named ones have 1 to 3."""
LEAST_MARK_DEVIATION = 0.02


@dataclass(frozen=True)
class Exchange:
    """Two channels that fit each other's names better than their own.

    Attributes
    ----------
    first, second : places of the channels.
    gain : by how many robust standard deviations they fit better exchanged.
    """

    first: int
    second: int
    gain: float


def robust_scale(values: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Median and scaled median absolute deviation (at least `least`) over the first axis; NaN is left out."""
    middle = np.nanmedian(values, axis=0)
    return middle, np.maximum(TO_DEVIATION * np.nanmedian(np.abs(values - middle), axis=0), least)


def blurred(plate: PlateQuality, deviations: float, lowest: float) -> np.ndarray:
    """Which images are out of focus, (fields, channels) bool.

    Parameters
    ----------
    deviations : so many robust standard deviations below the median slope of the plate's channel.
    lowest : a steeper slope than this is blurred, whatever the rest of the plate looks like.
    """
    slope = plate.measures["focus_slope"]
    found = slope < lowest
    if len(plate) >= LEAST_FIELDS:
        middle, deviation = robust_scale(slope, LEAST_SLOPE_DEVIATION)
        found |= (middle - slope) / deviation > deviations
    return found & ~np.isnan(slope)


def blurred_plate(plate: PlateQuality, earlier: Sequence[PlateQuality], deviations: float) -> list[str]:
    """Channels that are out of focus on the whole plate, compared with two earlier plates or more."""
    if len(earlier) < 2 or not len(plate):
        return []
    slopes = [np.nanmedian(other.measures["focus_slope"], axis=0) for other in earlier]
    within = [robust_scale(other.measures["focus_slope"], LEAST_SLOPE_DEVIATION)[1] for other in earlier]
    middle, between = robust_scale(np.array(slopes), LEAST_SLOPE_DEVIATION)
    spread = np.maximum(between, np.median(within, axis=0))
    fall = (middle - np.nanmedian(plate.measures["focus_slope"], axis=0)) / spread
    return [name for name, value in zip(plate.channels, fall, strict=True) if value > deviations]


def empty(plate: PlateQuality, contrast: float, share: float) -> np.ndarray:
    """Which images show nothing but background, (fields, channels) bool.

    Parameters
    ----------
    contrast : the brightest parts stand out by fewer standard deviations of the noise.
    share : or the range of grey levels is a smaller share of the plate's median range of that channel, and
        its distribution has no more of a tail than noise.
    """
    m = plate.measures
    # A mean of 16 pixels has a quarter of their noise.
    height = m["p99_9"] - m["p50"]
    found = height < contrast * m["noise"] / BLOCK
    if len(plate) >= LEAST_FIELDS:
        grey_range = m["p99_9"] - m["p1"]
        # The 90th percentile lies 1.28 standard deviations above the median of noise.
        tail = height < GAUSSIAN_SHAPE * (m["p90"] - m["p50"]) / 1.2816
        found |= (grey_range < share * np.nanmedian(grey_range, axis=0)) & tail
    return found


def marks(plate: PlateQuality) -> np.ndarray:
    """What a channel is recognised by, (fields, channels, marks): texture, brightness, covered area."""
    m = plate.measures
    grey_range = np.maximum(m["p99_9"] - m["p1"], 1e-6)
    shape = [(m[name] - m["p1"]) / grey_range for name in ("p50", "p75", "p90", "p97")]
    found = [m["focus_slope"], m["coarse_slope"], np.log10(grey_range + 1), np.log10(m["p50"] + 1), *shape]
    return np.stack(found, axis=-1)


def exchanged_fields(plate: PlateQuality, margin: float) -> list[Exchange | None]:
    """For every field of view the two channels that seem to be exchanged, compared with the plate."""
    if len(plate) < LEAST_FIELDS or len(plate.channels) < 2:
        return [None] * len(plate)
    all_marks = marks(plate)
    middle, deviation = robust_scale(all_marks, LEAST_MARK_DEVIATION)
    deviation = _not_too_narrow(deviation)
    return [_exchange(misfit(field, middle, deviation), margin) for field in all_marks]


def exchanged_plate(
    plate: PlateQuality, earlier: Sequence[PlateQuality], margin: float
) -> tuple[np.ndarray, Exchange | None]:
    """How the plate's channels fit those of earlier plates, and the two that seem to be exchanged.

    Parameters
    ----------
    earlier : plates of the same channels, one at least.

    Returns
    -------
    (channels, channels) mean deviations: of the plate's channel by row from the earlier channel by column.
    """
    middles = np.array([np.nanmedian(marks(other), axis=0) for other in earlier])
    within = [robust_scale(marks(other), LEAST_MARK_DEVIATION)[1] for other in earlier]
    middle, between = robust_scale(middles, LEAST_MARK_DEVIATION)
    deviation = np.maximum(_not_too_narrow(np.median(within, axis=0)), between)
    found = misfit(np.nanmedian(marks(plate), axis=0), middle, deviation)
    return found, _exchange(found, margin)


def misfit(field: np.ndarray, middle: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Mean deviation of each channel (rows) of a field from what each name (columns) usually looks like.

    Parameters
    ----------
    field, middle, deviation : (channels, marks).
    """
    off = np.abs(field[:, None] - middle[None]) / deviation[None]
    return np.nan_to_num(np.minimum(off, MOST_DEVIATIONS), nan=MOST_DEVIATIONS).mean(axis=-1)


def _not_too_narrow(deviation: np.ndarray) -> np.ndarray:
    """A channel whose fields agree much better than those of the others tells little by it."""
    return np.maximum(deviation, 0.5 * np.sqrt(np.mean(deviation**2, axis=0)))


def _exchange(found: np.ndarray, margin: float) -> Exchange | None:
    best = None
    for first, second in combinations(range(len(found)), 2):
        own = found[first, first] + found[second, second]
        other = found[first, second] + found[second, first]
        if own - other > margin and other < FITS and (best is None or own - other > best.gain):
            best = Exchange(first, second, float(own - other))
    return best
