"""Wells on plates with a planted structure, for tests of scores that compare wells."""

import numpy as np

from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets_tests.evaluation.profile_sets import profiles


def planted_wells(
    *,
    plates: int = 4,
    treatments: int = 12,
    labels: int = 3,
    controls: int = 6,
    features: int = 20,
    treatment_effect: float = 0.0,
    label_effect: float = 0.0,
    plate_effect: float = 0.0,
    one_plate_each: bool = False,
    seed: int = 0,
) -> ProfileSet:
    """Every plate holds each treatment once and some controls, in noise of variance 1.

    With `one_plate_each` all wells of a treatment (as many as there are plates) lie on one plate instead.
    Treatment i belongs to compound i // 2 and to label (i // 2) % labels.
    """
    rng = np.random.default_rng(seed)
    treatment = np.tile(np.arange(treatments), plates)
    plate = treatment % plates if one_plate_each else np.repeat(np.arange(plates), treatments)
    treatment = np.concatenate([treatment, np.full(plates * controls, -1)])
    plate = np.concatenate([plate, np.repeat(np.arange(plates), controls)])
    of_treatment = treatment_effect * rng.normal(size=(treatments, features))
    of_label = label_effect * rng.normal(size=(labels, features))
    shift = of_treatment + of_label[(np.arange(treatments) // 2) % labels]
    values = rng.normal(size=(len(treatment), features))
    values += np.where(treatment[:, None] >= 0, shift[treatment], 0)
    values += plate_effect * rng.normal(size=(plates, features))[plate]
    return profiles(
        values,
        level="well",
        treatments=[f"t{one:02d}" if one >= 0 else "DMSO" for one in treatment],
        compounds=[f"c{one // 2}" if one >= 0 else "DMSO" for one in treatment],
        labels=[f"m{(one // 2) % labels}" if one >= 0 else "" for one in treatment],
        plates=[f"P{one}" for one in plate],
        wells=[f"W{row:03d}" for row in range(len(treatment))],
        controls=list(treatment < 0),
    )
