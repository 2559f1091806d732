"""Crops of single cells: a square box around each centre, cut out of a field of view.

Two ways to sample. "original": bilinear samples spread evenly from one edge of the box to the other, both
included, so that b samples span b pixels and fall between pixels even at scale 1 (DeepProfiler's way,
TensorFlow's `crop_and_resize`; published checkpoints were trained on such crops). "exact": the pixels of the
nearest whole-pixel window, untouched.

What is stored of a cell is a *window*: whole pixels in the source's type, enough to make its crop from, plus
a margin. `crop_cells` itself goes through windows, so a crop made from a stored window is the same bit for
bit.

All positions are computed in float32 in the order of operations of the original, from centres in pixels of
the original image; the array at hand may be smaller by a scaling factor.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dp_assets.config.errors import ConfigurationError, LocationsError

Sampling = Literal["original", "exact"]
Shape = tuple[int, int]

_CELLS_AT_ONCE = 32
_FAR = 2**29


@dataclass(frozen=True)
class CropGeometry:
    """How crops are cut.

    Attributes
    ----------
    box_size : side of the box in pixels of the original image, and of the crop in samples.
    sampling : "original" or "exact" (see the module).
    margin : pixels kept around a window on every side, for shifts and rotations later; does not change crops.
    """

    box_size: int
    sampling: Sampling = "original"
    margin: int = 0

    def __post_init__(self) -> None:
        if self.box_size < 1 or self.margin < 0 or self.sampling not in ("original", "exact"):
            raise ValueError(
                "Expected box_size >= 1, margin >= 0 and a sampling of 'original' or 'exact'. Received "
                f"box_size={self.box_size}, margin={self.margin}, sampling={self.sampling!r}."
            )


@dataclass(frozen=True)
class _Samples:
    """Where the samples of n boxes lie along one axis of the array.

    Attributes
    ----------
    lower, upper : (n, box) int64, the pixels before and after each sample (equal when it falls on one).
    weight : (n, box) float32, share of the upper pixel.
    inside : (n, box) bool, whether the sample lies inside the array; outside it is zero.
    first : (n,) int64, the pixel before the first sample, inside or not.
    """

    lower: np.ndarray
    upper: np.ndarray
    weight: np.ndarray
    inside: np.ndarray
    first: np.ndarray


def crop_cells(
    image: np.ndarray, centres: np.ndarray, geometry: CropGeometry, original_shape: Shape
) -> np.ndarray:
    """The crops of all cells of a field of view.

    Parameters
    ----------
    image : (rows, cols, channels), any integer or float type.
    centres : (cells, 2) float64, (row, col) in pixels of the original image; may lie outside it.
    geometry : how to cut; its margin plays no part.
    original_shape : (rows, cols) of the original image, which the centres refer to.

    Returns
    -------
    (cells, box, box, channels) float32 in source grey levels; zero outside the image.

    Raises
    ------
    LocationsError : a centre is not a finite number.
    ConfigurationError : "exact" was asked for on an image of another size than the original.
    """
    bare = CropGeometry(geometry.box_size, geometry.sampling)
    array_shape = _plane_shape(image)
    side = window_side(bare, original_shape, array_shape)
    origins = window_origins(centres, bare, original_shape, array_shape)
    crops = np.empty((len(centres), bare.box_size, bare.box_size, image.shape[2]), dtype=np.float32)
    # A few cells at a time: their windows stay in the processor's cache.
    for start in range(0, len(centres), _CELLS_AT_ONCE):
        some = slice(start, start + _CELLS_AT_ONCE)
        windows = extract_windows(image, origins[some], side)
        crops[some] = resample_windows(
            windows, origins[some], centres[some], bare, original_shape, array_shape
        )
    return crops


def window_side(geometry: CropGeometry, original_shape: Shape, array_shape: Shape) -> int:
    """Side, in pixels of the array, of a window: all pixels that a crop is made from, plus the margin."""
    _check_sampling(geometry, original_shape, array_shape)
    if geometry.sampling == "exact":
        return geometry.box_size + 2 * geometry.margin
    spans = []
    for original, size in zip(original_shape, array_shape, strict=True):
        span = geometry.box_size * (size - 1) / original
        rounding = 16 * float(np.finfo(np.float32).eps) * (size + span)
        spans.append(math.ceil(span + rounding))
    # Two more: the pixel before the first sample and the one after the last.
    return max(spans) + 2 + 2 * geometry.margin


def window_origins(
    centres: np.ndarray, geometry: CropGeometry, original_shape: Shape, array_shape: Shape
) -> np.ndarray:
    """First (row, col) of each cell's window in the array, (cells, 2) int32; may lie outside the array.

    Raises
    ------
    LocationsError, ConfigurationError : as `crop_cells`.
    """
    _check_sampling(geometry, original_shape, array_shape)
    centres = _checked_centres(centres)
    if geometry.sampling == "exact":
        first = np.ceil(centres - geometry.box_size / 2)
    else:
        first = np.stack(
            [_samples(centres, axis, geometry, original_shape, array_shape).first for axis in (0, 1)], axis=1
        )
    return (np.clip(first, -_FAR, _FAR) - geometry.margin).astype(np.int32)


def extract_windows(image: np.ndarray, origins: np.ndarray, side: int) -> np.ndarray:
    """Whole-pixel windows of an image.

    Parameters
    ----------
    image : (rows, cols, channels).
    origins : (cells, 2) integers, first (row, col) of each window.
    side : rows and cols of a window.

    Returns
    -------
    (cells, side, side, channels) in the image's type; zero outside the image.
    """
    rows, cols = _plane_shape(image)
    windows = np.zeros((len(origins), side, side, image.shape[2]), dtype=image.dtype)
    for window, (row, col) in zip(windows, np.asarray(origins).tolist(), strict=True):
        top, bottom = max(row, 0), min(row + side, rows)
        left, right = max(col, 0), min(col + side, cols)
        if top < bottom and left < right:
            window[top - row : bottom - row, left - col : right - col] = image[top:bottom, left:right]
    return windows


def resample_windows(
    windows: np.ndarray,
    origins: np.ndarray,
    centres: np.ndarray,
    geometry: CropGeometry,
    original_shape: Shape,
    array_shape: Shape,
) -> np.ndarray:
    """The crops that `crop_cells` makes of an image, bit for bit, from windows of it.

    Parameters
    ----------
    windows : (cells, side, side, channels), from `extract_windows` with this geometry's side and origins.
    origins : (cells, 2) integers, from `window_origins` with this geometry.
    centres : (cells, 2) float64, (row, col) in pixels of the original image.
    original_shape, array_shape : (rows, cols) of the original image and of the array that was cut.

    Returns
    -------
    (cells, box, box, channels) float32 in source grey levels.

    Raises
    ------
    LocationsError, ConfigurationError : as `crop_cells`.
    """
    side = window_side(geometry, original_shape, array_shape)
    if windows.ndim != 4 or windows.shape[:3] != (len(centres), side, side) or len(origins) != len(centres):
        raise ValueError(
            f"Expected windows of shape ({len(centres)}, {side}, {side}, channels) and as many origins. "
            f"Received {windows.shape} and {len(origins)} origins."
        )
    box, channels = geometry.box_size, windows.shape[3]
    if geometry.sampling == "exact":
        inner = slice(geometry.margin, geometry.margin + box)
        return windows[:, inner, inner].astype(np.float32)
    centres = _checked_centres(centres)
    crops = np.zeros((len(centres), box, box * channels), dtype=np.float32)
    rows = _samples(centres, 0, geometry, original_shape, array_shape)
    cols = _samples(centres, 1, geometry, original_shape, array_shape)
    corners = np.asarray(origins, dtype=np.int64)
    planes = windows.reshape(len(centres), side, side * channels)
    for cell in range(len(centres)):
        _resample_cell(planes[cell], corners[cell], rows, cols, cell, crops[cell])
    return crops.reshape(len(centres), box, box, channels)


def _resample_cell(
    plane: np.ndarray, corner: np.ndarray, rows: _Samples, cols: _Samples, cell: int, crop: np.ndarray
) -> None:
    """Fill one crop (box, box * channels) from its window (side, side * channels): columns first, then rows.

    Only samples inside the array are computed; the rest of the crop is left zero. Channels lie side by side,
    so that every operation runs over whole rows.
    """
    (first_row, last_row), (first_col, last_col) = _bounds(rows.inside[cell]), _bounds(cols.inside[cell])
    if first_row == last_row or first_col == last_col:
        return
    channels = crop.shape[1] // rows.lower.shape[1]
    these_rows, these_cols = slice(first_row, last_row), slice(first_col, last_col)
    upper_rows = rows.upper[cell, these_rows] - corner[0]
    lower_rows = rows.lower[cell, these_rows] - corner[0]
    start, stop = int(lower_rows[0]), int(upper_rows[-1]) + 1
    used = plane[start:stop]
    left = used.take(_every_channel(cols.lower[cell, these_cols] - corner[1], channels), axis=1, mode="clip")
    right = used.take(_every_channel(cols.upper[cell, these_cols] - corner[1], channels), axis=1, mode="clip")
    along = _interpolated(left, right, np.repeat(cols.weight[cell, these_cols], channels)[None, :])
    crop[these_rows, first_col * channels : last_col * channels] = _interpolated(
        along[lower_rows - start], along[upper_rows - start], rows.weight[cell, these_rows][:, None]
    )


def _interpolated(lower: np.ndarray, upper: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """lower + (upper - lower) * weight in float32."""
    base = lower.astype(np.float32, copy=False)
    step = upper.astype(np.float32, copy=False) - base
    step *= weight
    step += base
    return step


def _every_channel(columns: np.ndarray, channels: int) -> np.ndarray:
    """Places of all channels of these columns in a row where channels lie side by side."""
    return (columns[:, None] * channels + np.arange(channels)).ravel()


def _bounds(inside: np.ndarray) -> tuple[int, int]:
    """First and one past the last sample inside (they are contiguous)."""
    places = np.flatnonzero(inside)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)


def _samples(
    centres: np.ndarray, axis: int, geometry: CropGeometry, original_shape: Shape, array_shape: Shape
) -> _Samples:
    box, original = geometry.box_size, np.float32(original_shape[axis])
    last = np.float32(array_shape[axis] - 1)
    # However far outside a centre lies, its crop is empty; float32 and int32 must still hold its position.
    centre = np.clip(centres[:, axis], -_FAR, _FAR)
    near = (centre - box / 2).astype(np.float32) / original
    far = (centre + box / 2).astype(np.float32) / original
    if box == 1:
        position = (np.float32(0.5) * (near + far) * last)[:, None]
    else:
        scale = (far - near) * last / np.float32(box - 1)
        position = (near * last)[:, None] + np.arange(box, dtype=np.float32) * scale[:, None]
    position = np.clip(position, np.float32(-_FAR), np.float32(_FAR))
    lower = np.floor(position)
    return _Samples(
        lower=lower.astype(np.int64),
        upper=np.ceil(position).astype(np.int64),
        weight=position - lower,
        inside=(position >= 0) & (position <= last),
        first=lower[:, 0].astype(np.int64),
    )


def _checked_centres(centres: np.ndarray) -> np.ndarray:
    centres = np.asarray(centres, dtype=np.float64)
    if centres.ndim != 2 or centres.shape[1] != 2:
        raise ValueError(f"Expected centres (cells, 2) as (row, col). Received shape {centres.shape}.")
    wrong = np.flatnonzero(~np.isfinite(centres).all(axis=1))
    if len(wrong):
        row, col = centres[wrong[0]]
        raise LocationsError(
            f"the centre of cell {wrong[0]} is row {row}, column {col} ({len(wrong)} such cells in all)",
            where=f"cell locations, row {wrong[0]} (0-based)",
            remedy="every cell needs a finite Nuclei_Location_Center_X and _Y: correct or remove these rows",
        )
    return centres


def _check_sampling(geometry: CropGeometry, original_shape: Shape, array_shape: Shape) -> None:
    if geometry.sampling == "exact" and tuple(original_shape) != tuple(array_shape):
        raise ConfigurationError(
            f"sampling 'exact' keeps whole pixels, but the image is {array_shape[0]} x {array_shape[1]} "
            f"where the original is {original_shape[0]} x {original_shape[1]}",
            where="single_cells.sampling",
            remedy="use sampling 'original', or a prepare.compression.scaling_factor of 1",
        )


def _plane_shape(image: np.ndarray) -> Shape:
    if image.ndim != 3:
        raise ValueError(f"Expected an image (rows, cols, channels). Received shape {image.shape}.")
    return image.shape[0], image.shape[1]
