"""What the correction did to the profiles, for those who have to believe them."""

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from dp_assets.storage.profile_columns import BATCH
from dp_assets.storage.schemas import PLATE, WELL


@dataclass(frozen=True)
class CorrectionFacts:
    """What was done to the profiles.

    Attributes
    ----------
    normalization, correction : the methods.
    regularization : lambda; NaN without correction.
    features_before, features_after : how many there were and are.
    dropped : operation of the feature selection -> how many features it took.
    controls : how many profiles are of controls.
    control_wells : plate -> how many control wells it has, every plate listed.
    plates_without_controls : plates with fewer than two control wells.
    controls_by_batch : batch -> how many profiles are of controls, every batch listed.
    references : plate or batch -> how many profiles its scale was taken from.
    unscaled : plate or batch -> features that do not vary among those, so that they were centred only.
    batches_unaligned : batches that CORAL left alone, as they have fewer than two controls.
    largest_eigenvalue, rank : of the controls' covariance; NaN and 0 without correction.
    whitened_mean : the largest absolute mean of a feature over the whitened controls (before CORAL); NaN
        without correction.
    whitened_covariance : how far the covariance of the whitened controls is from ``s / (s + lambda)`` where
        the eigenvalue s is above 100 lambda, at most; NaN without correction.
    warnings : what a reader should know, in words.
    """

    normalization: str
    correction: str
    features_before: int
    features_after: int
    dropped: dict[str, int]
    controls: int
    control_wells: dict[str, int]
    plates_without_controls: tuple[str, ...]
    controls_by_batch: dict[str, int]
    references: dict[str, int]
    unscaled: dict[str, int]
    regularization: float = math.nan
    batches_unaligned: tuple[str, ...] = ()
    largest_eigenvalue: float = math.nan
    rank: int = 0
    whitened_mean: float = math.nan
    whitened_covariance: float = math.nan
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-able values, None for NaN."""
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in asdict(self).items()
        }


def control_wells(table: pa.Table, is_control: np.ndarray) -> dict[str, int]:
    """plate -> how many control wells it has."""
    plates = table[PLATE].to_pylist()
    controls = {
        (plate, well)
        for plate, well, control in zip(plates, table[WELL].to_pylist(), is_control, strict=True)
        if control
    }
    counts = Counter(plate for plate, _ in controls)
    return {plate: counts[plate] for plate in sorted(set(plates))}


def control_profiles(table: pa.Table, is_control: np.ndarray) -> dict[str, int]:
    """batch -> how many profiles are of controls."""
    batches = np.array(table[BATCH].to_pylist(), object)
    counts = Counter(batches[is_control])
    return {batch: counts[batch] for batch in sorted(set(batches))}
