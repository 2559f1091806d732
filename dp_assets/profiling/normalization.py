"""One scale for every feature, plate by plate or batch by batch, by pycytominer's `normalize`."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from dp_assets.config.errors import ConfigurationError, Problem
from dp_assets.config.protocol import Normalization
from dp_assets.storage.profile_columns import CONTROL, IS_CONTROL, IS_TREATED

_SPREADS = {
    "standardize": lambda values: values.std(axis=0),
    "robustize": lambda values: scipy.stats.iqr(values, axis=0),
    "mad_robustize": lambda values: scipy.stats.median_abs_deviation(values, axis=0),
}
_FEATURES_AT_ONCE = 256
_SHOWN = 10


@dataclass(frozen=True)
class Normalized:
    """Features on one scale.

    Attributes
    ----------
    features : (rows, features) float64.
    references : plate or batch -> how many profiles its scale was taken from.
    unscaled : plate or batch -> how many features were centred only (see `normalize_features`); only those
        with any.
    """

    features: np.ndarray
    references: dict[str, int]
    unscaled: dict[str, int]


def normalize_features(
    features: np.ndarray, groups: np.ndarray, is_control: np.ndarray, settings: Normalization
) -> Normalized:
    """Center and scale every feature of every plate or batch.

    - standardize : ``(x - mean) / standard deviation`` (divisor n)
    - robustize : ``(x - median) / interquartile range``
    - mad_robustize : ``(x - median) / (1.4826 median absolute deviation)``, without pycytominer's epsilon

    A feature that does not spread over the reference profiles by more than float32 can tell (a dead unit of a
    network, often; or, for the robust methods, one with the same value in most wells) has no scale there. It
    is centred and not scaled, as scikit-learn's scalers do with constants. pycytominer's own answer for
    mad_robustize would be values around 1e17.

    Parameters
    ----------
    features : (rows, features), finite. Computed in float64: in float32 a mean that is large against the
        spread would leave too few digits.
    groups : (rows,) str, what is brought to one scale: plate, batch, or always the same.
    is_control : (rows,) bool.
    settings : its `by` is only used in messages.

    Raises
    ------
    ConfigurationError : a group has fewer than two reference profiles.
    """
    wide = features.astype(np.float64)
    names = [str(group) for group in np.unique(groups)]
    if settings.method == "none":
        return Normalized(wide, {}, {})
    is_reference = is_control if settings.reference == "controls" else np.ones(len(wide), bool)
    references = {group: int(is_reference[groups == group].sum()) for group in names}
    _require_references(references, settings)
    unscaled = {}
    for group in names:
        rows = groups == group
        wide[rows], count = _one_scale(wide[rows], is_reference[rows], settings.method)
        if count:
            unscaled[group] = count
    return Normalized(wide, references, unscaled)


def _one_scale(values: np.ndarray, is_reference: np.ndarray, method: str) -> tuple[np.ndarray, int]:
    """`values` of one plate on one scale, and how many features have none."""
    reference = values[is_reference]
    resolution = np.abs(reference).max(axis=0) * np.finfo(np.float32).eps
    flat = _SPREADS[method](reference) <= resolution
    centre = reference.mean(axis=0) if method == "standardize" else np.median(reference, axis=0)
    scaled = values - centre
    if not flat.all():
        scaled[:, ~flat] = _pycytominer(values[:, ~flat], is_reference, method)
    return scaled, int(flat.sum())


def _pycytominer(values: np.ndarray, is_reference: np.ndarray, method: str) -> np.ndarray:
    """All features, some at a time: the time of `normalize` grows with the square of their number."""
    blocks = [
        _block(values[:, start : start + _FEATURES_AT_ONCE], is_reference, method)
        for start in range(0, values.shape[1], _FEATURES_AT_ONCE)
    ]
    return np.concatenate(blocks, axis=1)


def _block(values: np.ndarray, is_reference: np.ndarray, method: str) -> np.ndarray:
    from pycytominer import normalize

    names = [f"feature_{number}" for number in range(values.shape[1])]
    roles = pd.DataFrame({CONTROL: np.where(is_reference, IS_CONTROL, IS_TREATED)})
    normalized = normalize(
        pd.concat([roles, pd.DataFrame(values, columns=names)], axis=1),
        features=names,
        meta_features=[CONTROL],
        samples=f"{CONTROL} == '{IS_CONTROL}'",
        method=method,
        mad_robustize_epsilon=0.0,
    )
    return normalized[names].to_numpy()


def _require_references(references: dict[str, int], settings: Normalization) -> None:
    few = [group for group, count in references.items() if count < 2]
    if not few:
        return
    what = "controls" if settings.reference == "controls" else "profiles"
    kind = {"plate": "plates", "batch": "batches", "all": "tables"}[settings.by]
    shown = ", ".join(few[:_SHOWN]) + (", ..." if len(few) > _SHOWN else "")
    where = "" if settings.by == "all" else f" in {len(few)} of {len(references)} {kind}: {shown}"
    wider = {"plate": '"by": "batch" or "all"', "batch": '"by": "all"', "all": ""}[settings.by]
    ways = [wider, '"reference": "all"' if what == "controls" else ""]
    remedy = " or ".join(way for way in ways if way)
    if what == "controls" and not any(references.values()):
        # Then it is the name of the controls that is wrong.
        raise ConfigurationError(
            [
                Problem(
                    "no profile is a control, so there is no scale to take from them",
                    "profiles.control_values",
                    "Correct profiles.control_field and profiles.control_values (values are compared as they "
                    f"are written, with upper and lower case), or write {remedy} in profiles.normalization.",
                )
            ]
        )
    raise ConfigurationError(
        [
            Problem(
                f"there are fewer than two {what} to take a scale from{where}",
                f"profiles.normalization.{'reference' if what == 'controls' else 'by'}",
                (f"Write {remedy} there, or " if remedy else "") + f"add {what}.",
            )
        ]
    )
