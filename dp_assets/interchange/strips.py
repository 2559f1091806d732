"""Strips: the crop of a cell as one grey image, its channels side by side."""

from pathlib import Path

import numpy as np
from upath import UPath

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.images import read_image

WHITE = 255


def as_strip(crop: np.ndarray) -> np.ndarray:
    """One crop (rows, cols, channels) as (rows, channels * cols), channels side by side."""
    rows, cols, channels = crop.shape
    return np.moveaxis(crop, 2, 1).reshape(rows, channels * cols)


def stretched_strip(crop: np.ndarray) -> np.ndarray:
    """One crop as 8 bits, as DeepProfiler exports it: floor(255 * (v - min) / (max - min)) over the strip.

    Parameters
    ----------
    crop : (rows, cols, channels) float32, normalised.

    Returns
    -------
    (rows, channels * cols) uint8; zeros where the whole strip is of one value.
    """
    strip = as_strip(crop)
    low, high = strip.min(), strip.max()
    if low == high:
        return np.zeros(strip.shape, np.uint8)
    return np.floor(WHITE * ((strip - low) / (high - low))).astype(np.uint8)


def read_strip(path: Path | UPath, box_size: int | None = None) -> np.ndarray:
    """Read the strip of a cell.

    Parameters
    ----------
    path : a grey PNG or TIFF file, as many times as wide as high as there are channels.
    box_size : rows it has to have; any when None.

    Returns
    -------
    (rows, rows, channels), uint8 or uint16.

    Raises
    ------
    ImageFileError : the file is missing, damaged, in colour, or no row of squares of this size.
    """
    image = read_image(path)
    rows, cols = image.shape
    if cols % rows or box_size not in (None, rows):
        wanted = f"squares of {box_size} pixels" if box_size is not None else "squares"
        raise ImageFileError(
            f"the image is {rows} x {cols} (rows x columns); expected a row of {wanted}, one per channel",
            where=str(path),
            remedy="replace the file, or take its row out of the list",
        )
    return np.ascontiguousarray(np.moveaxis(image.reshape(rows, cols // rows, rows), 1, 2))
