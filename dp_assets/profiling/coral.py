"""CORAL: the covariance of every batch's controls made that of all controls."""

from dataclasses import dataclass

import numpy as np

from dp_assets.profiling.control_spectrum import control_spectrum
from dp_assets.profiling.whitening import checked


@dataclass(frozen=True)
class Aligned:
    """Profiles after alignment.

    Attributes
    ----------
    features : (rows, features) float64.
    unaligned : batches left as they were, because they have fewer than two controls; sorted.
    """

    features: np.ndarray
    unaligned: tuple[str, ...]


def align_batches(
    features: np.ndarray,
    is_control: np.ndarray,
    batches: np.ndarray,
    regularization: float,
    *,
    batch_regularization: float | None = None,
) -> Aligned:
    """Correlation alignment of whitened profiles, batch by batch.

    A profile x of batch b becomes ``x (C_b + lambda_b I) ** -0.5 (C + lambda I) ** 0.5``, with C the
    covariance of all controls and C_b that of the batch's (both about 0, not about their mean, divisor n).

    The published notebook always has 1 for lambda_b, and uses it with lambda 1. Here lambda_b is lambda
    unless given: only then ``C_b + lambda_b I`` becomes ``C + lambda I``.

    Parameters
    ----------
    features : (rows, features) float64, centred on the controls.
    is_control : (rows,) bool, at least one.
    batches : (rows,) str.
    regularization : lambda, above 0.
    batch_regularization : lambda_b, above 0.

    Source: Sun et al. 2016, "Return of frustratingly easy domain adaptation"; Ando et al. 2017.
    """
    target = checked(regularization)
    source = target if batch_regularization is None else checked(batch_regularization)
    everything = control_spectrum(features[is_control], centred=False)
    aligned = features.copy()
    unaligned = []
    for batch in np.unique(batches):
        of_batch = batches == batch
        controls = features[of_batch & is_control]
        if len(controls) < 2:
            unaligned.append(str(batch))
            continue
        own = control_spectrum(controls, centred=False)
        plain = own.times(features[of_batch], lambda s: (s + source) ** -0.5)
        aligned[of_batch] = everything.times(plain, lambda s: (s + target) ** 0.5)
    return Aligned(aligned, tuple(unaligned))
