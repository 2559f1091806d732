"""Compression of images: illumination-corrected, optionally smaller, stretched to 8 bits.

Source: DeepProfiler handbook, `prepare`, section compression.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from dp_assets.config.errors import ImageFileError
from dp_assets.imaging.resizing import plane_resizer
from dp_assets.imaging.tail_percentiles import percentiles_of_tails, sample_step, tail_percentiles

Stretch = Literal["image", "plate", "none"]

_LEVELS_8 = 255
_LEVELS_16 = 65535
_STRETCH_PERCENTILES = (0.05, 99.95)
_BLOCK = 2**16


@dataclass(frozen=True)
class CompressedChannel:
    """One compressed plane.

    Attributes
    ----------
    pixels : (rows, cols) uint8, or uint16 when nothing was stretched.
    vmin, vmax : the corrected grey levels that became 0 and the largest value of the pixel type: a pixel p
        of a uint8 plane stands for vmin + p / 255 * (vmax - vmin).
    flat : the plane has no contrast; when it was to be stretched, all its pixels are 0.
    """

    pixels: np.ndarray
    vmin: float
    vmax: float
    flat: bool


def compress_channel(
    image: np.ndarray,
    function: np.ndarray,
    upper_limit: float,
    *,
    lower_limit: float = 0.0,
    scaling_factor: float = 1.0,
    stretch: Stretch = "image",
    reciprocal: np.ndarray | None = None,
    name: str = "image",
) -> CompressedChannel:
    """Correct, resize and stretch one plane.

    Parameters
    ----------
    image : (rows, cols) uint8 or uint16.
    function : (rows, cols) float64, the channel's illumination correction function, at least 1 everywhere.
    upper_limit, lower_limit : grey levels at the 0.9999 and 0.0001 quantiles of the plate's uncorrected
        histogram.
    scaling_factor : size of the result relative to the image, along each axis; whole pixels, rounded down.
    stretch : what becomes black and white.
        "image": the 0.05 and 99.95 percentiles of this image, white at most `upper_limit` (the original's
        way; makes every image equally bright, so differences between wells in total intensity are lost).
        "plate": `lower_limit` and `upper_limit`, the same for all images of a plate.
        "none": nothing is stretched; corrected grey levels rounded to whole numbers, 16 bits.
    reciprocal : `reciprocal_of(function)`, for those who compress many images with it.
    name : the file, for messages.

    Returns
    -------
    The plane and what its grey levels mean. A plane that cannot be stretched, because vmin is not below vmax,
    comes out as zeros, marked flat.

    Raises
    ------
    ImageFileError : the image has another size than the plate's correction function.
    """
    if image.shape != function.shape:
        raise ImageFileError(
            f"the image is {_size(image)} pixels; the plate's illumination function is {_size(function)}",
            where=name,
            remedy="all images of a plate must have one size: move it to another plate, or replace it",
        )
    if stretch == "none" or scaling_factor != 1:
        corrected = image / function
        if scaling_factor != 1:
            corrected = plane_resizer(image.shape, scaled_shape(image.shape, scaling_factor))(corrected)
        if stretch == "none":
            return _unstretched(corrected)
        plane: _Plane = _Computed(corrected)
    else:
        plane = _Quotients(image, function, reciprocal_of(function) if reciprocal is None else reciprocal)
    if stretch == "plate":
        vmin, vmax = float(lower_limit), float(upper_limit)
    else:
        low, high = plane.percentiles(*_STRETCH_PERCENTILES)
        vmin, vmax = low, min(high, float(upper_limit))
    if not vmin < vmax:
        return CompressedChannel(np.zeros(plane.shape, dtype=np.uint8), vmin, vmax, flat=True)
    return CompressedChannel(plane.stretched(vmin, vmax), vmin, vmax, flat=False)


def reciprocal_of(function: np.ndarray) -> np.ndarray:
    """One by each value of a correction function, float32."""
    return (1 / function).astype(np.float32)


def scaled_shape(shape: tuple[int, int], scaling_factor: float) -> tuple[int, int]:
    """Size (rows, cols) of a compressed image: whole pixels, rounded down, never less than one."""
    return max(1, int(scaling_factor * shape[0])), max(1, int(scaling_factor * shape[1]))


def _size(plane: np.ndarray) -> str:
    return " x ".join(str(length) for length in plane.shape)


class _Plane(Protocol):
    """A corrected plane: what the stretch must know of it."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def percentiles(self, lower: float, upper: float) -> tuple[float, float]: ...

    def stretched(self, vmin: float, vmax: float) -> np.ndarray: ...


class _Computed:
    """A corrected plane (rows, cols) float64."""

    def __init__(self, values: np.ndarray) -> None:
        self.shape = values.shape
        self._values = values

    def percentiles(self, lower: float, upper: float) -> tuple[float, float]:
        return tail_percentiles(self._values, lower, upper)

    def stretched(self, vmin: float, vmax: float) -> np.ndarray:
        values = self._values.ravel()
        pixels = np.empty(values.shape, dtype=np.uint8)
        span = vmax - vmin
        # Some at a time, which stay in the processor's cache. In this order: the recorded images of the
        # original are reproduced bit for bit.
        for start in range(0, len(values), _BLOCK):
            block = np.clip(values[start : start + _BLOCK], vmin, vmax)
            block -= vmin
            block /= span
            block *= _LEVELS_8
            np.rint(block, out=block)
            pixels[start : start + _BLOCK] = block
        return pixels.reshape(self.shape)


class _Quotients:
    """A corrected plane that is never computed as a whole: an image, to be divided by a function."""

    def __init__(self, image: np.ndarray, function: np.ndarray, reciprocal: np.ndarray) -> None:
        self.shape = image.shape
        self._pixels, self._function = np.ascontiguousarray(image).ravel(), function.ravel()
        self._reciprocal = reciprocal.ravel()

    def percentiles(self, lower: float, upper: float) -> tuple[float, float]:
        from dp_assets.imaging.plane_kernels import quotients_beyond

        some = slice(None, None, sample_step(len(self._pixels)))
        found = percentiles_of_tails(
            len(self._pixels),
            self._pixels[some] / self._function[some],
            lambda low, high: quotients_beyond(self._pixels, self._function, self._reciprocal, low, high),
            lower,
            upper,
        )
        return found or tail_percentiles(self._pixels / self._function, lower, upper)

    def stretched(self, vmin: float, vmax: float) -> np.ndarray:
        from dp_assets.imaging.plane_kernels import stretched_quotients

        levels = np.empty(len(self._pixels), np.uint8)
        stretched_quotients(self._pixels, self._function, self._reciprocal, vmin, vmax, levels)
        return levels.reshape(self.shape)


def _unstretched(corrected: np.ndarray) -> CompressedChannel:
    flat = bool(corrected.min() == corrected.max())
    pixels = np.rint(np.clip(corrected, 0, _LEVELS_16)).astype(np.uint16)
    return CompressedChannel(pixels, 0.0, float(_LEVELS_16), flat)
