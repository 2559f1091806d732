"""Which features stay, by pycytominer's `feature_select`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.profile_sections import FeatureSelectionSettings, SelectionOperation
from dp_assets.profiling.correlated_features import correlated_features
from dp_assets.storage.profile_columns import TREATMENT

# pycytominer's own; it means nothing where features keep the units of their network.
MINIMUM_VARIANCE = 1e-6
_BEFORE_NORMALIZATION: SelectionOperation = "drop_na_columns"


@dataclass(frozen=True)
class Selection:
    """The features that stay.

    Attributes
    ----------
    kept : their column numbers, ascending.
    dropped : operation -> how many features it took, in the order of the operations.
    """

    kept: np.ndarray
    dropped: dict[str, int]


def drop_missing(features: np.ndarray, settings: FeatureSelectionSettings) -> Selection:
    """The operation "drop_na_columns", which comes before normalization: no scale is taken from gaps.

    Parameters
    ----------
    features : (rows, features), NaN where a value is missing.
    settings : all features stay when the operation is not among its operations.

    Raises
    ------
    ConfigurationError : no feature is left.
    """
    frame = pd.DataFrame(features).rename(columns=str)
    wanted = [name for name in settings.operations if name == _BEFORE_NORMALIZATION]
    dropped: dict[str, int] = {}
    for operation in wanted:
        frame, dropped[operation] = _without(
            frame, _pycytominer(frame, operation, na_cutoff=settings.missing_cutoff)
        )
        _require_some(frame, dropped)
    return Selection(frame.columns.to_numpy(dtype=np.int64), dropped)


def select_features(
    features: np.ndarray,
    names: Sequence[str],
    treatments: np.ndarray,
    settings: FeatureSelectionSettings,
    *,
    minimum_variance: float = MINIMUM_VARIANCE,
) -> Selection:
    """All operations but "drop_na_columns", in their order, each on what the former left.

    - variance_threshold : a variance of at most `minimum_variance`, or too few different values
      (pycytominer's `variance_threshold` and `frequency_threshold`)
    - correlation_threshold : see `correlated_features`
    - drop_outliers : a value beyond `outlier_cutoff`
    - blocklist : pycytominer's own list of names, which are CellProfiler's
    - noise_removal : the standard deviation within a treatment, averaged over treatments, is above
      `noise_cutoff`; treatments with a single profile do not count, as they have none

    Parameters
    ----------
    features : (rows, features), finite.
    names : of the features; distinct.
    treatments : (rows,) str, "" for none.
    minimum_variance : at least 0.

    Raises
    ------
    ConfigurationError : no feature is left.
    """
    frame = pd.DataFrame(features, columns=list(names))
    number = {name: column for column, name in enumerate(names)}
    dropped: dict[str, int] = {}
    for operation in settings.operations:
        if operation != _BEFORE_NORMALIZATION:
            going = _going(frame, operation, treatments, settings, minimum_variance)
            frame, dropped[operation] = _without(frame, going)
            _require_some(frame, dropped)
    return Selection(np.array([number[name] for name in frame.columns], np.int64), dropped)


def _going(
    frame: pd.DataFrame,
    operation: SelectionOperation,
    treatments: np.ndarray,
    settings: FeatureSelectionSettings,
    minimum_variance: float,
) -> set[str]:
    """The names of the features that an operation takes."""
    if operation == "variance_threshold":
        return _uninformative(frame, settings, minimum_variance)
    if operation == "correlation_threshold":
        return set(frame.columns[correlated_features(frame.to_numpy(), settings.correlation_threshold)])
    if operation == "noise_removal":
        return _noisy(frame, treatments, settings.noise_cutoff)
    return _pycytominer(frame, operation, outlier_cutoff=settings.outlier_cutoff)


def _uninformative(
    frame: pd.DataFrame, settings: FeatureSelectionSettings, minimum_variance: float
) -> set[str]:
    values = frame.to_numpy()
    # The variance of equal numbers is not always exactly 0.
    variances = np.minimum(values.var(axis=0), np.ptp(values, axis=0))
    if (variances <= minimum_variance).all():
        # scikit-learn, below pycytominer, raises instead of dropping all features.
        return set(frame.columns)
    constant = _pycytominer(frame, "variance_threshold", min_variance=minimum_variance)
    frequent = _pycytominer(
        frame, "frequency_threshold", freq_cut=settings.frequency_cut, unique_cut=settings.unique_cut
    )
    return constant | frequent


def _noisy(frame: pd.DataFrame, treatments: np.ndarray, cutoff: float) -> set[str]:
    counts = pd.Series(treatments).value_counts()
    repeated = np.isin(treatments, [str(name) for name, count in counts.items() if name and count > 1])
    if not repeated.any():
        return set()
    replicates = frame[repeated].assign(**{TREATMENT: treatments[repeated]})
    return _pycytominer(
        replicates,
        "noise_removal",
        noise_removal_perturb_groups=TREATMENT,
        noise_removal_stdev_cutoff=cutoff,
    )


def _pycytominer(frame: pd.DataFrame, operation: str, **options: Any) -> set[str]:
    """The features that one operation of `feature_select` drops."""
    from pycytominer import feature_select

    features = [name for name in frame.columns if name != TREATMENT]
    selected = feature_select(frame, features=features, operation=[operation], **options)
    return set(frame.columns) - set(selected.columns)


def _without(frame: pd.DataFrame, going: set[str]) -> tuple[pd.DataFrame, int]:
    return frame[[name for name in frame.columns if name not in going]], len(going)


def _require_some(frame: pd.DataFrame, dropped: dict[str, int]) -> None:
    if frame.shape[1]:
        return
    taken = ", ".join(f"{operation} took {count}" for operation, count in dropped.items())
    raise ConfigurationError(
        f"no feature is left: {taken}",
        where="profiles.feature_selection",
        remedy="Leave the last of these operations out, or make its threshold less strict.",
    )
