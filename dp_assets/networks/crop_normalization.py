"""Normalisation of crops inside a compiled step: what `imaging.normalization` does in memory, as a layer."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from dp_assets.imaging.normalization import EPSILON, Normalization
from dp_assets.networks.augmentation_layer import Tensor


@keras.saving.register_keras_serializable("dp_assets")
class CropNormalization(keras.layers.Layer):
    """Scales crops for a network.

    Crops of 8 or 16 bit reach the device as they are, and become float32 there. The methods are those of
    `normalize_crops`. Its numbers come out, except for rounding: "zscore" sums in float32, not in float64.

    Parameters
    ----------
    method : "minmax", "zscore", "plate" or "none".

    Input: crops (cells, rows, cols, channels) of uint8, uint16 or float32, finite; and, for "plate" only,
    float32 (cells, 2, channels), the lower and upper grey level of each crop's plate.

    Output: float32 (cells, rows, cols, channels). A channel without contrast becomes zeros, except with
    "none" and "plate".
    """

    def __init__(self, method: Normalization, **kwargs: Any) -> None:
        # Half precision cannot tell neighbouring grey levels apart.
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if method not in ("minmax", "zscore", "plate", "none"):
            raise ValueError(f"Expected a method of minmax, none, zscore or plate. Received {method!r}.")
        self.method = method

    def call(self, crops: Tensor, ranges: Tensor | None = None) -> Tensor:
        if (ranges is None) == (self.method == "plate"):
            what = "nothing" if ranges is None else "them"
            raise ValueError(f"Expected grey levels for the method plate only. Received {what}.")
        # First of all: frameworks compute little with 16-bit integers.
        crops = ops.cast(crops, "float32")
        if self.method == "none":
            return crops
        _, rows, cols, channels = crops.shape
        # Whole rows as one axis: processors are slow at axes as short as the channels.
        lines = ops.reshape(crops, (-1, rows, cols * channels))
        if self.method == "minmax":
            lines = _minmax(lines, channels)
        elif self.method == "zscore":
            lines = _zscore(lines, channels)
        else:
            lines = _plate(lines, ops.cast(ranges, "float32"))
        return ops.reshape(lines, (-1, rows, cols, channels))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "method": self.method}


def _minmax(lines: Tensor, channels: int) -> Tensor:
    low = _of_channels(ops.min, lines, channels)
    span = _of_channels(ops.max, lines, channels) - low
    # Compilers take sums of differences apart, and then so small a number is lost: it is no guard of its own.
    divisor = ops.where(span > 0, span + EPSILON, 1.0)
    return (lines - _along(low, lines)) / _along(divisor, lines)


def _zscore(lines: Tensor, channels: int) -> Tensor:
    # Sums in float32 lose digits where grey levels are high, so they are taken of what lies above the lowest
    # pixel. The mean is rounded to float32 as in memory, and of a flat channel it is the channel's level.
    low = _of_channels(ops.min, lines, channels)
    above = lines - _along(low, lines)
    mean = _of_channels(ops.mean, above, channels)
    variance = _of_channels(ops.mean, ops.square(above - _along(mean, lines)), channels)
    return (lines - _along(low + mean, lines)) / _along(ops.sqrt(variance) + EPSILON, lines)


def _plate(lines: Tensor, ranges: Tensor) -> Tensor:
    lower, span = ranges[:, 0], ranges[:, 1] - ranges[:, 0]
    usable = span > 0
    scaled = (lines - _along(lower, lines)) / _along(ops.where(usable, span, 1.0), lines)
    return ops.where(_along(usable, lines), ops.clip(scaled, 0.0, 1.0), 0.0)


def _of_channels(reduced: Callable[..., Tensor], lines: Tensor, channels: int) -> Tensor:
    """A number per crop and channel, (cells, channels), from lines (cells, rows, cols * channels)."""
    columns = reduced(lines, axis=1)
    return reduced(ops.reshape(columns, (-1, lines.shape[2] // channels, channels)), axis=1)


def _along(values: Tensor, lines: Tensor) -> Tensor:
    """Numbers (cells, channels) repeated for every column, (cells, 1, cols * channels)."""
    return ops.tile(values, (1, lines.shape[2] // values.shape[1]))[:, None]
