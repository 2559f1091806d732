"""Full-image mode: a field of view as windows on a regular grid instead of cells (handbook, `full_image`)."""

import math

import numpy as np

from dp_assets.config.errors import ConfigurationError
from dp_assets.imaging.plate_crops import SiteCells


def grid_cells(original_shape: tuple[int, int], view_size: int) -> SiteCells:
    """Windows that cover a field of view, as cells named "0", "1", ... row by row.

    As many windows along an axis as cover it, their centres evenly spaced from `view_size` / 2 to the size
    less `view_size` / 2, so neighbours overlap where the sizes do not divide; a single window is centred.

    Parameters
    ----------
    original_shape : (rows, cols) of the image.
    view_size : side of a window, pixels. On the shorter side of an image it may be larger than that: the
        window is centred there, and 0 outside the image.

    Raises
    ------
    ConfigurationError : the window is larger than the image in both directions.
    """
    rows, cols = original_shape
    if view_size > max(rows, cols):
        raise ConfigurationError(
            f"view_size is {view_size}, but the images are {rows} x {cols} (rows x columns)",
            where="dataset.locations.view_size",
            remedy=f"write at most {max(rows, cols)}; the width of the images gives one window per image",
        )
    down, across = _centres(rows, view_size), _centres(cols, view_size)
    grid = np.stack(np.meshgrid(down, across, indexing="ij"), axis=-1).reshape(-1, 2)
    return SiteCells(tuple(str(number) for number in range(len(grid))), grid)


def _centres(size: int, view_size: int) -> np.ndarray:
    count = math.ceil(size / view_size)
    return np.array([size / 2]) if count == 1 else np.linspace(view_size / 2, size - view_size / 2, count)
