"""Phenotypic activity: are the wells of a treatment more like each other than like the controls?"""

import numpy as np
import pandas as pd

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.average_precision import (
    average_precisions,
    expected_average_precision,
    lowest_p_value,
    mean_average_precisions,
)
from dp_assets.evaluation.bootstrap import interval
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.score import Score, ScoreResult, not_applicable
from dp_assets.evaluation.well_selection import TreatedWells, replicated_wells

_NAMES = ("activity", "activity_fraction")


def phenotypic_activity(profiles: ProfileSet, protocol: EvaluationProtocol) -> ScoreResult:
    """Mean average precision of each treatment's wells against control wells, with permutation p-values.

    The query is a well; its positives are the other wells of its treatment, on any plate; its negatives are
    the controls of its plate if every plate with such wells has at least two, otherwise all controls.
    Source: Kalinin et al. 2025 ("phenotypic activity"), computed by copairs.

    Parameters
    ----------
    profiles : of wells.
    protocol : with `compat`, p-values are those of copairs, which does not count ties.

    Returns
    -------
    ScoreResult
        Scores `activity` (mean over treatments) and `activity_fraction` (treatments with a q-value below
        `significance`); table "activity" with a row per treatment.
    """
    settings = protocol.settings
    line = "mAP of wells of a treatment against controls"
    if profiles.level != "well":
        return _none(line, f"needs profiles of wells, these are of {profiles.level}s")
    chosen = replicated_wells(profiles, protocol)
    controls = np.flatnonzero(profiles.is_control)
    if len(controls) < 2:
        return _none(line, f"needs at least two control wells, there are {len(controls)}")
    if not len(chosen.rows):
        return _none(line, "no treatment has two wells")
    same_plate = _enough_on_each_plate(profiles.plates[chosen.rows], profiles.plates[controls])
    line += " of the same plate" if same_plate else " of all plates"
    line += f", cosine, {settings.permutations} permutations"
    line += ", ties not counted (compat)" if settings.compat else ""
    rows = np.concatenate([chosen.rows, controls])
    precisions = _precisions(profiles.take(rows), same_plate)
    table = mean_average_precisions(precisions, "treatment", settings, strict_ties=settings.compat)
    names = np.unique(profiles.treatments[chosen.rows].astype(str))
    scores = _scores(table, precisions, line, chosen, protocol)
    return ScoreResult(scores, {"activity": _named(table, names, profiles, chosen.rows)})


def _scores(
    table: pd.DataFrame,
    precisions: pd.DataFrame,
    line: str,
    chosen: TreatedWells,
    protocol: EvaluationProtocol,
) -> tuple[Score, Score]:
    settings = protocol.settings
    values = table["mean_average_precision"].to_numpy()
    significant = table["significant"].to_numpy(np.float64)
    expected = pd.Series(expected_average_precision(precisions)).groupby(precisions["treatment"]).mean()
    activity = Score(
        "activity",
        float(values.mean()),
        len(values),
        "treatments",
        line,
        *interval(values, protocol),
        excluded=chosen.excluded,
        chance=float(expected.mean()),
        details={
            "treated_wells": len(chosen.rows),
            "normalized": float(table["normalized_mean_average_precision"].mean()),
        },
    )
    fraction = Score(
        "activity_fraction",
        float(significant.mean()),
        len(values),
        "treatments",
        f"{line}; fraction with q < {settings.significance:g} (Benjamini-Hochberg)",
        *interval(significant, protocol),
        excluded=chosen.excluded,
        details={
            "significant": float(significant.sum()),
            "lowest_p_value_possible": lowest_p_value(precisions, settings.permutations),
        },
    )
    return activity, fraction


def _none(line: str, reason: str) -> ScoreResult:
    return ScoreResult(tuple(not_applicable(name, "treatments", line, reason) for name in _NAMES))


def _enough_on_each_plate(treated: np.ndarray, controls: np.ndarray) -> bool:
    return all((controls == plate).sum() >= 2 for plate in set(treated))


def _precisions(wells: ProfileSet, same_plate: bool) -> pd.DataFrame:
    """Average precision of every treated well; column `treatment` is a number (sorted names)."""
    treatment = np.full(len(wells), -1)
    treated = ~wells.is_control
    treatment[treated] = np.unique(wells.treatments[treated].astype(str), return_inverse=True)[1]
    meta = pd.DataFrame(
        {
            "treatment": treatment,
            "plate": np.unique(wells.plates.astype(str), return_inverse=True)[1],
            # A value of its own for each control, one for all treated wells: controls are nobody's positives,
            # and two treated wells are never a negative pair.
            "reference": np.where(wells.is_control, np.arange(len(wells)), -1),
        }
    )
    return average_precisions(
        meta,
        wells.features,
        positives=(["treatment", "reference"], []),
        negatives=(["plate"] if same_plate else [], ["treatment", "reference"]),
    )


def _named(table: pd.DataFrame, names: np.ndarray, profiles: ProfileSet, rows: np.ndarray) -> pd.DataFrame:
    treatments = profiles.treatments[rows].astype(str)
    _, first, counts = np.unique(treatments, return_index=True, return_counts=True)
    number = table["treatment"].to_numpy()
    described = {
        "treatment": names[number],
        "compound": profiles.compounds[rows][first][number].astype(str),
        "concentration": profiles.concentrations[rows][first][number].astype(str),
        "label": profiles.labels[rows][first][number].astype(str),
        "wells": counts[number],
    }
    return pd.DataFrame({**described, **table.drop(columns="treatment")})
