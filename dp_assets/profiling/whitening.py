"""Whitening and sphering: profiles in units of the scatter of the controls, in every direction."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import linalg
from scipy.linalg import lapack

from dp_assets.profiling.control_spectrum import ControlSpectrum, control_spectrum

Form = Literal["pca", "zca"]

# Smaller ones are swamped: the directions in which controls do not vary then rule every distance.
SMALL_REGULARIZATION = 1e-6
_STRONG = 100.0


@dataclass(frozen=True)
class Whitening:
    """A map under which the controls have mean 0 and covariance ``s / (s + regularization)``.

    With mean mu and covariance ``V diag(s) V.T`` of the controls (divisor n), a profile x becomes
    ``(x - mu) W``, where W is ``V diag((s + regularization) ** -0.5)`` in the form "pca", and that times
    ``V.T`` in the form "zca" (sphering). Both forms have as many features as went in, and the same cosine
    similarities and distances. Where controls do not vary, s is 0.

    In the form "pca", features are the principal axes of the controls, the widest first, and after them axes
    of the space in which controls do not vary. Those are any orthonormal ones: the rest of the basis that
    Householder reflections make of the principal axes.

    Attributes
    ----------
    spectrum : of the controls.
    regularization : lambda, above 0.
    form : "pca" or "zca".

    Source: Ando et al. 2017 ("typical variation normalization"); Kessy et al. 2018 for the forms.
    """

    spectrum: ControlSpectrum
    regularization: float
    form: Form

    @property
    def is_weak(self) -> bool:
        """Whether lambda is less than a millionth of the largest eigenvalue."""
        return self.regularization < SMALL_REGULARIZATION * self.spectrum.largest

    def apply(self, profiles: np.ndarray) -> np.ndarray:
        """Whiten profiles.

        Parameters
        ----------
        profiles : (n, features).

        Returns
        -------
        (n, features) float64.
        """
        return self._times(profiles.astype(np.float64) - self.spectrum.mean)

    def matrix(self) -> np.ndarray:
        """W itself, (features, features) float64; `apply` does not need it."""
        return self._times(np.eye(len(self.spectrum.mean)))

    def residuals(self, whitened: np.ndarray) -> tuple[float, float]:
        """How far whitened controls are from what the formula promises.

        Parameters
        ----------
        whitened : (controls, features), the controls the whitening was fitted on, after `apply`.

        Returns
        -------
        The largest absolute mean of a feature; and the largest difference between the covariance along the
        directions with an eigenvalue above 100 lambda, and ``diag(s / (s + lambda))``. 0 without such
        directions.
        """
        wide = whitened.astype(np.float64)
        mean = wide.mean(axis=0)
        strong = self.spectrum.eigenvalues > _STRONG * self.regularization
        if not strong.any():
            return float(np.abs(mean).max()), 0.0
        values = self.spectrum.eigenvalues[strong]
        axes = wide - mean
        along = (
            axes @ self.spectrum.directions[:, strong]
            if self.form == "zca"
            else axes[:, : self.spectrum.rank][:, strong]
        )
        covariance = along.T @ along / len(along)
        expected = np.diag(values / (values + self.regularization))
        return float(np.abs(mean).max()), float(np.abs(covariance - expected).max())

    def _times(self, rows: np.ndarray) -> np.ndarray:
        if self.form == "zca":
            return self.spectrum.times(rows, lambda s: (s + self.regularization) ** -0.5)
        values = np.zeros(rows.shape[1])
        values[: self.spectrum.rank] = self.spectrum.eigenvalues
        return _in_completed_basis(rows, self.spectrum.directions) * (values + self.regularization) ** -0.5


def fit_whitening(controls: np.ndarray, regularization: float, form: Form = "zca") -> Whitening:
    """Whitening by the controls' own mean and covariance.

    Parameters
    ----------
    controls : (n, features), finite, n >= 2. Fewer controls than features, and features that do not vary, are
        fine.
    regularization : lambda, added to the eigenvalues; above 0.
    form : "pca" or "zca".

    Raises
    ------
    ValueError : fewer than two controls, or `regularization` not above 0.
    """
    if len(controls) < 2:
        raise ValueError(f"Expected at least two controls. Received {len(controls)}.")
    return Whitening(control_spectrum(controls), checked(regularization), form)


def checked(regularization: float) -> float:
    """`regularization` itself. Raises ValueError when it is not above 0."""
    if not regularization > 0:
        raise ValueError(f"Expected a regularization above 0. Received {regularization}.")
    return float(regularization)


def _in_completed_basis(rows: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Coordinates of `rows` (n, d) along orthonormal `axes` (d, r) and d - r more that complete them."""
    rank = axes.shape[1]
    if rank == 0:
        return rows
    (reflections, scales), triangle = linalg.qr(axes, mode="raw", check_finite=False)
    target = np.asfortranarray(rows)
    work = lapack.dormqr("R", "N", reflections, scales, target, -1)[1]
    turned, _, status = lapack.dormqr("R", "N", reflections, scales, target, int(work[0]))
    if status:
        raise ValueError(f"Expected dormqr to end with status 0. Received {status}.")
    # Reflections give the axes up to their sign, which the triangle holds.
    turned[:, :rank] *= np.sign(np.diag(triangle))
    return np.ascontiguousarray(turned)
