"""Normalisation of crops: the last step before a network sees them.

A network must be given at profiling what it was trained on, so the method is part of its model card.
"""

from typing import Literal

import numpy as np

Normalization = Literal["minmax", "none", "zscore", "plate"]

EPSILON = np.float32(1e-7)
"""Added to the divisor, so that a flat channel becomes zeros instead of a division by zero."""


def normalize_crops(
    crops: np.ndarray,
    method: Normalization = "minmax",
    plate_range: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Scale crops for a network.

    Parameters
    ----------
    crops : (cells, rows, cols, channels) float32, source grey levels. Not changed.
    method :
        "minmax": per crop and channel to [0, 1] (the original's way; forgets how bright a cell is).
        "zscore": per crop and channel to mean 0 and standard deviation 1.
        "plate": per channel, `plate_range` to [0, 1], what lies beyond is cut off (keeps brightness).
        "none": grey levels as they are.
    plate_range : (lower, upper) grey levels, each (channels,), or (cells, channels) for crops of several
        plates; needed by "plate" only.

    Returns
    -------
    Same shape, float32. A channel without contrast becomes zeros, except with "none" and "plate". NaN pixels
    make their crop's channel NaN.
    """
    crops = np.asarray(crops, dtype=np.float32)
    if crops.ndim != 4:
        raise ValueError(f"Expected crops (cells, rows, cols, channels). Received shape {crops.shape}.")
    if method == "none" or crops.size == 0:
        return crops.copy()
    if method == "minmax":
        low, high = _extremes(crops)
        return _scaled(crops, low, (high - low) + EPSILON)
    if method == "zscore":
        mean = crops.mean(axis=(1, 2), dtype=np.float64)
        deviation = crops.std(axis=(1, 2), dtype=np.float64)
        return _scaled(crops, mean.astype(np.float32), deviation.astype(np.float32) + EPSILON)
    if method == "plate":
        return _in_plate_range(crops, plate_range)
    raise ValueError(f"Expected a method of minmax, none, zscore or plate. Received {method!r}.")


def flat_channels(crops: np.ndarray, masks: np.ndarray | None = None) -> np.ndarray:
    """Which channels of which crops hold a single value (dead channel, or a box outside the image).

    Parameters
    ----------
    crops : (cells, rows, cols, channels), crops or windows of any number type.
    masks : (cells, rows, cols) bool; only samples inside count. A crop without any is flat in all channels.

    Returns
    -------
    (cells, channels) bool.
    """
    if masks is None:
        low, high = _extremes(crops)
        return low == high
    values = np.asarray(crops, np.float32)
    inside = np.broadcast_to(masks[..., None], values.shape)
    low = values.min(axis=(1, 2), where=inside, initial=np.inf)
    high = values.max(axis=(1, 2), where=inside, initial=-np.inf)
    return low >= high


def _in_plate_range(crops: np.ndarray, plate_range: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    cells, _, _, channels = crops.shape
    if plate_range is None:
        raise ValueError("Normalisation by plate needs the plate's range of grey levels. Received None.")
    lower, upper = (np.asarray(limit, dtype=np.float32) for limit in plate_range)
    if lower.shape not in ((channels,), (cells, channels)) or upper.shape != lower.shape:
        raise ValueError(
            f"Expected a lower and an upper grey level for each of {channels} channels. "
            f"Received {lower.shape} and {upper.shape}."
        )
    lower, upper = (np.broadcast_to(limit, (cells, channels)) for limit in (lower, upper))
    span = upper - lower
    usable = span > 0
    scaled = _scaled(crops, lower, np.where(usable, span, 1))
    np.clip(scaled, 0, 1, out=scaled)
    if not usable.all():
        # A channel without a range is zero, whatever its pixels are.
        scaled = np.where(usable[:, None, None, :], scaled, np.float32(0))
    return scaled


def _extremes(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value per crop and channel, each (cells, channels)."""
    cells, rows, cols, channels = crops.shape
    if crops.size == 0:
        empty = np.zeros((cells, channels), dtype=crops.dtype)
        return empty, empty
    if crops.strides[3] > crops.strides[2]:
        # Planes lie one behind the other (`extract_from_planes`).
        return crops.min(axis=(1, 2)), crops.max(axis=(1, 2))
    # Whole rows are reduced first: the inner loop then runs over cols * channels values, not a few channels.
    flat = crops.reshape(cells, rows, cols * channels)
    low = flat.min(axis=1).reshape(cells, cols, channels).min(axis=1)
    high = flat.max(axis=1).reshape(cells, cols, channels).max(axis=1)
    return low, high


def _scaled(crops: np.ndarray, offset: np.ndarray, divisor: np.ndarray) -> np.ndarray:
    """(crops - offset) / divisor with both (cells, channels), row by row for long inner loops."""
    cells, rows, cols, channels = crops.shape
    flat = crops.reshape(cells, rows, cols * channels)
    scaled = flat - np.tile(offset, (1, cols))[:, None, :]
    scaled /= np.tile(divisor, (1, cols))[:, None, :]
    return scaled.reshape(crops.shape)
