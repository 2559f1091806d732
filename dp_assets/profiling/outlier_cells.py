"""Cells that look unlike the other cells of their well: debris, clumps, cells out of focus."""

import numpy as np

# A well with fewer cells has no median cell to speak of; all its cells are kept.
FEWEST_CELLS = 4
# The median absolute deviation of a normal distribution, in standard deviations, is 1 / 1.4826.
MAD_TO_SIGMA = 1.4826
# Distances that differ by less than this share of their median differ by rounding only.
_ROUNDING = 1e-9
_FEATURES_AT_ONCE = 256


def typical_cells(features: np.ndarray, threshold: float) -> np.ndarray:
    """Which cells of one well lie near the well's median cell.

    The rule: every feature is shifted by its median over the well and divided by 1.4826 times its median
    absolute deviation (MAD) over the well, so that no feature is louder than the others; features whose MAD
    is 0 in this well are not used. The distance of a cell is the Euclidean length of what it then has. A cell
    is an outlier when its distance exceeds

        median of the distances + threshold * 1.4826 * MAD of the distances

    over the cells of the well. All cells are kept in a well of fewer than 4 cells, where no feature varies,
    or where the distances have no scatter (MAD 0).

    Parameters
    ----------
    features : (cells, features) of one well, finite.
    threshold : in robust standard deviations of the distances, above 0.

    Returns
    -------
    (cells,) bool, False for outliers.

    Raises
    ------
    ValueError : the threshold is not above 0.
    """
    if not threshold > 0:
        raise ValueError(f"Expected a threshold above 0. Received {threshold}.")
    if len(features) < FEWEST_CELLS:
        return np.ones(len(features), dtype=bool)
    distances = _distances(features)
    middle = float(np.median(distances))
    scatter = MAD_TO_SIGMA * float(np.median(np.abs(distances - middle)))
    if scatter <= _ROUNDING * middle:
        return np.ones(len(features), dtype=bool)
    return distances <= middle + threshold * scatter


def _distances(features: np.ndarray) -> np.ndarray:
    """(cells,) float64, in the robustly standardised space."""
    squares = np.zeros(len(features))
    # In blocks, because the float64 copies would need several times the memory of the well itself.
    for start in range(0, features.shape[1], _FEATURES_AT_ONCE):
        block = features[:, start : start + _FEATURES_AT_ONCE].astype(np.float64)
        block -= np.median(block, axis=0)
        scale = MAD_TO_SIGMA * np.median(np.abs(block), axis=0)
        used = scale > 0
        block = block[:, used] / scale[used]
        squares += np.einsum("ij,ij->i", block, block)
    return np.sqrt(squares)
