"""Whether cell centres lie on something: how bright an image is there compared with elsewhere."""

import numpy as np
from scipy import ndimage

NEIGHBOURHOOD = 5
"""Side, in pixels, of the square around a centre whose mean counts."""
STEP = 3
"""Every so many pixels along each axis are compared with; neighbours tell little more."""


def centre_rank(image: np.ndarray, centres: np.ndarray) -> float:
    """The share of an image that is darker than its cell centres, mean over the cells.

    About 0.5 for centres that have nothing to do with the image; near 1 for nuclei in the image of their
    stain.

    Parameters
    ----------
    image : (rows, cols), any grey levels.
    centres : (cells, 2) row and column, pixels of this image; those outside are moved to its border.

    Returns
    -------
    NaN without cells.
    """
    if not len(centres):
        return float("nan")
    means = ndimage.uniform_filter(image.astype(np.float32), NEIGHBOURHOOD)
    rows, cols = (np.clip(np.rint(centres[:, axis]).astype(int), 0, image.shape[axis] - 1) for axis in (0, 1))
    others = np.sort(means[::STEP, ::STEP], axis=None)
    # Of equally bright pixels half count as darker.
    darker = np.searchsorted(others, means[rows, cols], "left") + np.searchsorted(
        others, means[rows, cols], "right"
    )
    return float(darker.mean() / 2 / len(others))
