"""The covariance of the controls by its eigenvectors, without ever making a (features, features) matrix.

With fewer controls than features the covariance has a null space. A function f of the covariance is f(0)
there and f(eigenvalue) along the few other directions, so products with it need only those directions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class ControlSpectrum:
    """Eigenvalues and eigenvectors of a covariance.

    Attributes
    ----------
    mean : (features,) float64, what was subtracted from the controls; zeros when nothing was.
    directions : (features, rank) float64, orthonormal columns.
    eigenvalues : (rank,) float64, all above 0, descending. Those that are 0 are not listed.
    """

    mean: np.ndarray
    directions: np.ndarray
    eigenvalues: np.ndarray

    @property
    def rank(self) -> int:
        """The number of directions in which the controls spread."""
        return len(self.eigenvalues)

    @property
    def largest(self) -> float:
        """The largest eigenvalue; 0 when the controls are all alike."""
        return float(self.eigenvalues[0]) if self.rank else 0.0

    def times(self, rows: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """`rows` times a function of the covariance, such as its inverse square root.

        Parameters
        ----------
        rows : (n, features) float64; `mean` is not subtracted.
        function : of eigenvalues, also of 0.

        Returns
        -------
        (n, features) float64: ``rows @ V @ diag(function(s)) @ V.T`` with all eigenvectors V.
        """
        elsewhere = function(np.zeros(1))[0]
        along = (rows @ self.directions) * (function(self.eigenvalues) - elsewhere)
        return elsewhere * rows + along @ self.directions.T


def control_spectrum(controls: np.ndarray, *, centred: bool = True) -> ControlSpectrum:
    """The spectrum of ``Xc.T @ Xc / n``, from the singular values of Xc.

    Singular values keep the accuracy that is lost where a covariance is made first, and are never negative.
    The sign of a direction is such that its largest component is positive.

    Parameters
    ----------
    controls : (n, features), finite, at least one row.
    centred : subtract the mean of the controls first; False takes them as they are.
    """
    if controls.ndim != 2 or not controls.size:
        raise ValueError(f"Expected controls of shape (n, features). Received shape {controls.shape}.")
    count, width = controls.shape
    mean = controls.mean(axis=0, dtype=np.float64) if centred else np.zeros(width)
    singular, directions = linalg.svd(
        _same_covariance(controls, mean), full_matrices=False, overwrite_a=True, check_finite=False
    )[1:]
    floor = singular[0] * max(count, width) * np.finfo(np.float64).eps
    rank = int((singular > floor).sum())
    kept = directions[:rank].T
    signs = np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(rank)]) if rank else np.ones(0)
    return ControlSpectrum(mean, np.ascontiguousarray(kept * signs), singular[:rank] ** 2 / count)


def _same_covariance(controls: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """At most `features` rows with the covariance of the centred controls.

    Many controls are folded into the triangle of their QR decomposition, some rows at a time, so 50,000
    single cells need no second copy.
    """
    count, width = controls.shape
    if count <= width:
        return controls.astype(np.float64) - mean
    triangle = np.empty((0, width))
    step = max(_ROWS_AT_ONCE, width)
    for start in range(0, count, step):
        rows = controls[start : start + step].astype(np.float64) - mean
        triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, rows]), mode="r"))
    return triangle
