"""Resizing of planes: linear interpolation, with Gaussian smoothing before pixels are dropped.

Rows and columns are treated alike and independently, so resizing is one small sparse matrix per axis, built
once per size and used for every image of a plate.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class PlaneResizer:
    """Resizes planes of one size to another.

    Attributes
    ----------
    input_shape, output_shape : (rows, cols).
    rows : sparse (output rows, input rows) float64.
    cols : sparse (output cols, input cols) float64.
    """

    input_shape: tuple[int, int]
    output_shape: tuple[int, int]
    rows: sparse.csr_array
    cols: sparse.csr_array

    def __call__(self, plane: np.ndarray) -> np.ndarray:
        """The plane (rows, cols) at the output size, float64, in the units of the input.

        Memory: no float64 copy of the plane is made.
        """
        if plane.shape != self.input_shape:
            raise ValueError(f"Expected a plane of shape {self.input_shape}. Received {plane.shape}.")
        narrow = _weighted(self.rows, plane)
        return np.ascontiguousarray(_weighted(self.cols, narrow.T).T)


def _weighted(matrix: sparse.csr_array, plane: np.ndarray) -> np.ndarray:
    """The matrix times the plane, float64, without a float64 copy of the plane."""
    from dp_assets.imaging.plane_kernels import weighted_rows

    sums = np.empty((matrix.shape[0], plane.shape[1]))
    if plane.dtype not in (np.uint8, np.uint16):
        plane = plane.astype(np.float64, copy=False)
    starts, places = (numbers.astype(np.int32, copy=False) for numbers in (matrix.indptr, matrix.indices))
    weighted_rows(np.ascontiguousarray(plane), starts, places, matrix.data, sums)
    return sums


@lru_cache(maxsize=16)
def plane_resizer(
    input_shape: tuple[int, int], output_shape: tuple[int, int], factors: tuple[float, float] | None = None
) -> PlaneResizer:
    """A resizer between two sizes (kept for the next caller with the same sizes).

    Parameters
    ----------
    input_shape, output_shape : (rows, cols), all positive.
    factors : how many input pixels make an output pixel, per axis, where that is not exactly the ratio of the
        sizes; sets the Gaussian only: its sigma is (factor - 1) / 2 pixels, none when pixels are added.
    """
    if min(*input_shape, *output_shape) < 1:
        raise ValueError(f"Expected positive sizes. Received {input_shape} -> {output_shape}.")
    row_factor, col_factor = factors or (
        input_shape[0] / output_shape[0],
        input_shape[1] / output_shape[1],
    )
    return PlaneResizer(
        input_shape,
        output_shape,
        _axis_matrix(input_shape[0], output_shape[0], row_factor),
        _axis_matrix(input_shape[1], output_shape[1], col_factor),
    )


def _axis_matrix(size: int, new_size: int, factor: float) -> sparse.csr_array:
    interpolation = _interpolation_matrix(size, new_size)
    sigma = max(0.0, (factor - 1) / 2)
    return interpolation if sigma == 0 else sparse.csr_array(interpolation @ _gaussian_matrix(size, sigma))


def _interpolation_matrix(size: int, new_size: int) -> sparse.csr_array:
    """Linear interpolation at the centres of the new pixels, mirrored at the outermost old ones."""
    position = (np.arange(new_size) + 0.5) * (size / new_size) - 0.5
    lower = np.floor(position).astype(np.int64)
    weight = position - lower
    output = np.arange(new_size)
    entries = np.concatenate([1 - weight, weight])
    columns = np.concatenate([_mirrored(lower, size), _mirrored(lower + 1, size)])
    return sparse.csr_array((entries, (np.tile(output, 2), columns)), shape=(new_size, size))


def _gaussian_matrix(size: int, sigma: float) -> sparse.csr_array:
    """Gaussian smoothing along one axis, cut off at four sigma, mirrored at the outermost pixels."""
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 / sigma**2 * offsets**2)
    kernel /= kernel.sum()
    pixels = np.arange(size)
    columns = _mirrored(pixels[:, None] + offsets[None, :], size)
    rows = np.broadcast_to(pixels[:, None], columns.shape)
    entries = np.broadcast_to(kernel, columns.shape)
    return sparse.csr_array((entries.ravel(), (rows.ravel(), columns.ravel())), shape=(size, size))


def _mirrored(index: np.ndarray, size: int) -> np.ndarray:
    """Indices beyond an end folded back, the outermost pixel not repeated (d c b | a b c d | c b a)."""
    if size == 1:
        return np.zeros_like(index)
    period = 2 * (size - 1)
    folded = np.mod(index, period)
    return np.where(folded < size, folded, period - folded)
