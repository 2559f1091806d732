"""How sure a score is: bootstrap over what it is an average of."""

from collections.abc import Callable

import numpy as np
import scipy

from dp_assets.config.protocol import EvaluationProtocol

# Takes one or several arrays (..., n) and the keyword `axis`; gives an array without that axis.
Statistic = Callable[..., np.ndarray]

# Resampled values that are held in memory at a time.
_VALUES_AT_A_TIME = 2_000_000

_UNKNOWN = (float("nan"), float("nan"))


def interval(values: np.ndarray, protocol: EvaluationProtocol) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean of `values`.

    Parameters
    ----------
    values : (n,) one value per unit that is resampled, such as a treatment.
    protocol : `bootstraps`, `confidence` and `seed` of its settings are used.

    Returns
    -------
    tuple[float, float]
        Lower and upper end; NaN with fewer than two values.
    """
    return paired_interval(np.mean, (values,), protocol)


def count_interval(flags: np.ndarray, protocol: EvaluationProtocol) -> tuple[float, float]:
    """The percentile bootstrap interval of how many of `flags` (n,) are true; NaN with fewer than two."""
    low, high = interval(flags.astype(np.float64), protocol)
    return len(flags) * low, len(flags) * high


def paired_interval(
    statistic: Statistic, samples: tuple[np.ndarray, ...], protocol: EvaluationProtocol
) -> tuple[float, float]:
    """The percentile bootstrap interval of a statistic of values that belong together.

    Units are drawn with replacement, and all samples are resampled alike. Method: Efron and Tibshirani 1993,
    by scipy.

    Parameters
    ----------
    statistic : takes as many arrays (resamples, n) as there are samples, and `axis`; gives (resamples,).
    samples : arrays (n,); the same position is the same unit in all of them.
    protocol : `bootstraps`, `confidence` and `seed` of its settings are used.
    """
    n = len(samples[0])
    if n < 2:
        return _UNKNOWN
    settings = protocol.settings
    found = scipy.stats.bootstrap(
        tuple(np.asarray(sample, np.float64) for sample in samples),
        statistic,
        n_resamples=settings.bootstraps,
        batch=max(1, _VALUES_AT_A_TIME // n),
        vectorized=True,
        paired=True,
        confidence_level=settings.confidence,
        method="percentile",
        rng=np.random.default_rng(settings.seed),
    ).confidence_interval
    return float(found.low), float(found.high)
