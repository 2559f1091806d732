"""Crops: a square box around each centre, cut out of a field of view (positions: `crop_geometry`).

What is stored of a cell is a *window*: whole pixels in the source's type, enough to make its crop from, plus
a margin. `crop_cells` itself goes through windows, so a crop made from a stored window is the same bit for
bit.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from dp_assets.imaging.crop_geometry import (
    FAR,
    CropGeometry,
    SamplePlaces,
    Sampling,
    Shape,
    check_sampling,
    checked_centres,
    sample_places,
)

__all__ = [
    "CropGeometry",
    "Sampling",
    "Shape",
    "crop_cells",
    "crop_cells_of_planes",
    "extract_from_planes",
    "extract_windows",
    "nearest_pixels",
    "resample_windows",
    "whole_pixels",
    "window_origins",
    "window_side",
]

_CELLS_AT_ONCE = 32


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
    _plane_shape(image)
    return crop_cells_of_planes(np.moveaxis(image, -1, 0), centres, geometry, original_shape)


def crop_cells_of_planes(
    planes: Sequence[np.ndarray] | np.ndarray,
    centres: np.ndarray,
    geometry: CropGeometry,
    original_shape: Shape,
) -> np.ndarray:
    """The crops that `crop_cells` makes of the planes' stack, without stacking them.

    Parameters
    ----------
    planes : of each channel, (rows, cols), all of one size and type.
    centres, geometry, original_shape : as for `crop_cells`, as are what is returned and what is raised.
    """
    if planes[0].ndim != 2:
        raise ValueError(f"Expected planes (rows, cols). Received shape {planes[0].shape}.")
    bare = replace(geometry, margin=0)
    array_shape = (planes[0].shape[0], planes[0].shape[1])
    side = window_side(bare, original_shape, array_shape)
    origins = window_origins(centres, bare, original_shape, array_shape)
    crops = np.empty((len(centres), bare.box_size, bare.box_size, len(planes)), dtype=np.float32)
    # A few cells at a time: their windows stay in the processor's cache.
    for start in range(0, len(centres), _CELLS_AT_ONCE):
        some = slice(start, start + _CELLS_AT_ONCE)
        windows = extract_from_planes(planes, origins[some], side)
        crops[some] = resample_windows(
            windows, origins[some], centres[some], bare, original_shape, array_shape
        )
    return crops


def window_side(geometry: CropGeometry, original_shape: Shape, array_shape: Shape) -> int:
    """Side, in pixels of the array, of a window: all pixels that a crop is made from, plus the margin."""
    check_sampling(geometry, original_shape, array_shape)
    if geometry.sampling == "exact":
        return geometry.box_size + 2 * geometry.margin
    spans = []
    for original, size in zip(original_shape, array_shape, strict=True):
        span = geometry.view * (size - 1) / original
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
    check_sampling(geometry, original_shape, array_shape)
    centres = checked_centres(centres)
    if geometry.sampling == "exact":
        first = np.ceil(centres - geometry.box_size / 2)
    else:
        first = np.stack(
            [sample_places(centres, axis, geometry, original_shape, array_shape).first for axis in (0, 1)],
            axis=1,
        )
    return (np.clip(first, -FAR, FAR) - geometry.margin).astype(np.int32)


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
    shape = _plane_shape(image)
    windows = np.zeros((len(origins), side, side, image.shape[2]), dtype=image.dtype)
    for window, (inside, source) in zip(windows, _overlaps(origins, side, shape), strict=True):
        window[inside] = image[source]
    return windows


def extract_from_planes(
    planes: Sequence[np.ndarray] | np.ndarray, origins: np.ndarray, side: int
) -> np.ndarray:
    """The windows that `extract_windows` cuts out of the planes' stack, without stacking them.

    Parameters
    ----------
    planes : of each channel, (rows, cols), all of one size and type.
    origins, side : as for `extract_windows`.

    Returns
    -------
    (cells, side, side, channels); in memory the planes of a window lie one behind the other.
    """
    windows = np.zeros((len(origins), len(planes), side, side), dtype=planes[0].dtype)
    shape = (planes[0].shape[0], planes[0].shape[1])
    for window, (inside, source) in zip(windows, _overlaps(origins, side, shape), strict=True):
        for plane, cut in zip(planes, window, strict=True):
            cut[inside] = plane[source]
    return np.moveaxis(windows, 1, -1)


def _overlaps(
    origins: np.ndarray, side: int, shape: Shape
) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Of each window the part that lies inside the image, as places in the window and in the image."""
    rows, cols = shape
    for row, col in np.asarray(origins).tolist():
        top, bottom = max(row, 0), max(min(row + side, rows), 0)
        left, right = max(col, 0), max(min(col + side, cols), 0)
        # Empty where the window lies outside.
        bottom, right = max(top, bottom), max(left, right)
        inside = slice(top - row, bottom - row), slice(left - col, right - col)
        yield inside, (slice(top, bottom), slice(left, right))


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
    if geometry.sampling == "exact":
        crops = whole_pixels(windows, origins, centres, geometry, original_shape, array_shape)
        return crops.astype(np.float32)
    side = window_side(geometry, original_shape, array_shape)
    _check_windows(windows, origins, (len(centres), side, side))
    box, channels = geometry.box_size, windows.shape[3]
    centres = checked_centres(centres)
    rows = sample_places(centres, 0, geometry, original_shape, array_shape)
    cols = sample_places(centres, 1, geometry, original_shape, array_shape)
    from dp_assets.imaging.crop_kernels import interpolated_windows

    if windows.dtype not in (np.uint8, np.uint16):
        windows = windows.astype(np.float32, copy=False)
    crops = np.zeros((len(centres), box, box, channels), dtype=np.float32)
    corners = np.asarray(origins, dtype=np.int64)
    interpolated_windows(
        np.ascontiguousarray(np.moveaxis(windows, -1, 1)),
        *_places_in_windows(rows, corners[:, 0], side),
        *_places_in_windows(cols, corners[:, 1], side),
        crops,
    )
    return crops


def _places_in_windows(
    places: SamplePlaces, corners: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lower and upper pixel of each sample within its window, weights, and which samples are inside.

    Samples inside the array have their pixels in the window; those of the others are not looked at.
    """
    lower, upper = (
        np.clip(pixels - corners[:, None], 0, side - 1) for pixels in (places.lower, places.upper)
    )
    first = np.argmax(places.inside, axis=1)
    # They are contiguous.
    ends = np.stack([first, first + np.count_nonzero(places.inside, axis=1)], axis=1)
    return lower, upper, places.weight, ends


def whole_pixels(
    windows: np.ndarray,
    origins: np.ndarray,
    centres: np.ndarray,
    geometry: CropGeometry,
    original_shape: Shape,
    array_shape: Shape,
) -> np.ndarray:
    """The crops of sampling "exact" in the windows' own type: their pixels without the margin.

    Parameters
    ----------
    windows, origins, centres, geometry, original_shape, array_shape : as for `resample_windows`.

    Returns
    -------
    (cells, box, box, channels), a view of the windows.

    Raises
    ------
    ConfigurationError : as `crop_cells`.
    """
    if geometry.sampling != "exact":
        raise ValueError(f"Expected the sampling 'exact'. Received {geometry.sampling!r}.")
    side = window_side(geometry, original_shape, array_shape)
    _check_windows(windows, origins, (len(centres), side, side))
    inner = slice(geometry.margin, geometry.margin + geometry.box_size)
    return windows[:, inner, inner]


def nearest_pixels(
    planes: np.ndarray,
    origins: np.ndarray,
    centres: np.ndarray,
    geometry: CropGeometry,
    original_shape: Shape,
    array_shape: Shape,
) -> np.ndarray:
    """The pixel nearest to each sample of each crop, unmixed: for masks and labels.

    Parameters
    ----------
    planes : (cells, side, side), windows of one plane with this geometry's side and origins.
    origins, centres, geometry, original_shape, array_shape : as for `resample_windows`.

    Returns
    -------
    (cells, box, box) in the planes' type; zero outside the image.

    Raises
    ------
    LocationsError, ConfigurationError : as `crop_cells`.
    """
    side, box = window_side(geometry, original_shape, array_shape), geometry.box_size
    _check_windows(planes[..., None], origins, (len(centres), side, side))
    if geometry.sampling == "exact":
        inner = slice(geometry.margin, geometry.margin + box)
        return planes[:, inner, inner]
    centres = checked_centres(centres)
    corners = np.asarray(origins, dtype=np.int64)
    found = np.zeros((len(centres), box, box), dtype=planes.dtype)
    rows, cols = (sample_places(centres, axis, geometry, original_shape, array_shape) for axis in (0, 1))
    for cell in range(len(centres)):
        nearest = [
            np.where(along.weight[cell] < 0.5, along.lower[cell], along.upper[cell]) - corners[cell, axis]
            for axis, along in enumerate((rows, cols))
        ]
        inside = np.ix_(rows.inside[cell], cols.inside[cell])
        places = np.ix_(nearest[0][rows.inside[cell]], nearest[1][cols.inside[cell]])
        found[cell][inside] = planes[cell][places]
    return found


def _check_windows(windows: np.ndarray, origins: np.ndarray, shape: tuple[int, int, int]) -> None:
    cells, side, _ = shape
    if windows.ndim != 4 or windows.shape[:3] != shape or len(origins) != cells:
        raise ValueError(
            f"Expected windows of shape ({cells}, {side}, {side}, channels) and as many origins. "
            f"Received {windows.shape} and {len(origins)} origins."
        )


def _plane_shape(image: np.ndarray) -> Shape:
    if image.ndim != 3:
        raise ValueError(f"Expected an image (rows, cols, channels). Received shape {image.shape}.")
    return image.shape[0], image.shape[1]
