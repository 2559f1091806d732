"""How alike profiles are: the cosine of the angle between them."""

import numpy as np

# Rows of the result that are made at a time.
_BLOCK = 1024

# Equal profiles must be equally similar, but sums in another order differ in the last digits.
_DECIMALS = 12


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows of length 1, of the same floating type; rows of zeros stay zero.

    Parameters
    ----------
    features : (rows, features) floating point, finite.
    """
    # Lengths in two steps: squares of very large or very small features do not fit a float.
    largest = np.abs(features).max(axis=1, initial=0, keepdims=True)
    scaled = np.divide(features, largest, out=np.zeros_like(features), where=largest > 0)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.divide(scaled, length, out=np.zeros_like(features), where=length > 0)


def zero_rows(features: np.ndarray) -> int:
    """The number of rows of zeros, which have no direction."""
    return int((~features.any(axis=1)).sum())


def cosine_similarity(features: np.ndarray) -> np.ndarray:
    """Cosine similarity of every pair of rows.

    Rounded to 12 decimals, so that equal profiles are ties whatever the order of sums.

    Parameters
    ----------
    features : (rows, features), finite. A row of zeros has the similarity 0 to all rows, itself too.

    Returns
    -------
    numpy.ndarray
        (rows, rows) float64, between -1 and 1.
    """
    unit = unit_rows(np.asarray(features, np.float64))
    similarities = np.empty((len(unit), len(unit)))
    for start in range(0, len(unit), _BLOCK):
        rows = similarities[start : start + _BLOCK]
        np.matmul(unit[start : start + _BLOCK], unit.T, out=rows)
        np.round(rows, _DECIMALS, out=rows)
        np.clip(rows, -1, 1, out=rows)
    return similarities
