"""How alike are the replicates of a treatment? Needs no labels."""

import numpy as np
import pandas as pd
import scipy

from dp_assets.config.evaluation_sections import EvaluationSettings
from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.bootstrap import interval
from dp_assets.evaluation.correlation_blocks import correlation_rows, drawn_medians
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.replicate_permutation import (
    ReplicateTest,
    permutation_test,
    replicate_correlations,
)
from dp_assets.evaluation.score import Score, ScoreResult, not_applicable
from dp_assets.evaluation.well_selection import TreatedWells, treated_wells

_NAMES = ("replicate_strength", "replicate_reproducibility", "replicate_significant")

# The correlations between all of them take wells * wells * 4 bytes.
_MOST_WELLS = 20_000


def replicate_strength(profiles: ProfileSet, protocol: EvaluationProtocol) -> ScoreResult:
    """Correlation between the replicates of each treatment, against two nulls.

    The replicate correlation of a treatment is the median Pearson correlation between its wells. (a) Its
    threshold is the 95th percentile of `null_draws` random sets of `null_size` treated wells (the fraction of
    strong treatments of the DeepProfiler papers). As the sets have another size than the treatments, and come
    from any plates, more than 5 % pass by chance: the score's `chance` says how many. (b) Treatments are
    shuffled within plates `permutations` times, which gives p-values that hold for any number of replicates
    and are not fooled by plates.

    Parameters
    ----------
    profiles : of wells.
    protocol : with `compat`, medians are taken with the ones on the diagonal.

    Returns
    -------
    ScoreResult
        Scores `replicate_strength` (fraction above the threshold), `replicate_reproducibility` (mean
        replicate correlation; its p-value in `details`) and `replicate_significant` (fraction with a q-value
        below `significance`); tables "replicates" (per treatment) and "replicate_null" (the draws).
    """
    settings = protocol.settings
    line = "median Pearson correlation between the wells of a treatment"
    line += ", diagonal included (compat)" if settings.compat else ""
    if profiles.level != "well":
        return _none(line, f"needs profiles of wells, these are of {profiles.level}s")
    chosen, units = _usable_wells(profiles, protocol)
    treated = profiles.take(chosen.rows)
    names, treatment, excluded = _replicated(treated.treatments, chosen.excluded)
    if not len(names):
        return _none(line, "no treatment has two wells")
    null = _fixed_null(units, settings)
    threshold = float(np.percentile(null, 95)) if len(null) else np.inf
    narrow = units.astype(np.float32)
    correlations = narrow @ narrow.T
    found = replicate_correlations(correlations, treatment, len(names), diagonal=settings.compat)
    test = permutation_test(
        correlations,
        treatment,
        np.unique(treated.plates.astype(str), return_inverse=True)[1],
        found,
        threshold=threshold,
        permutations=settings.permutations,
        seed=settings.seed,
        diagonal=settings.compat,
    )
    table = _table(treated, names, treatment, found, test, settings)
    if not len(null):
        reason = f"{len(treated)} treated wells make no null of sets of {settings.null_size} (null_size)"
        strength = not_applicable(_NAMES[0], "treatments", line, reason)
        scores = (strength, *_shuffle_scores(table, test, line, excluded, protocol))
        return ScoreResult(scores, {"replicates": table})
    table.insert(list(table.columns).index("correlation") + 1, "above", found > threshold)
    sets = f"{settings.null_draws} sets of {settings.null_size} treated wells"
    strength = _score(
        _NAMES[0],
        table["above"],
        f"{line}; fraction above the 95th percentile of {sets}",
        excluded,
        protocol,
        chance=test.above,
        details={"threshold": threshold, "treated_wells": len(treated)},
    )
    scores = (strength, *_shuffle_scores(table, test, line, excluded, protocol))
    return ScoreResult(scores, {"replicates": table, "replicate_null": pd.DataFrame({"correlation": null})})


def _fixed_null(units: np.ndarray, settings: EvaluationSettings) -> np.ndarray:
    """(null_draws,) block medians of random wells; empty where there are too few wells to draw from."""
    if len(units) <= settings.null_size:
        return np.empty(0)
    return drawn_medians(
        units,
        np.arange(len(units)),
        settings.null_size,
        settings.null_draws,
        (settings.seed, 1),
        diagonal=settings.compat,
    )


def _table(
    treated: ProfileSet,
    names: np.ndarray,
    treatment: np.ndarray,
    found: np.ndarray,
    test: ReplicateTest,
    settings: EvaluationSettings,
) -> pd.DataFrame:
    first = np.array([np.flatnonzero(treatment == number)[0] for number in range(len(names))])
    corrected = scipy.stats.false_discovery_control(test.p_values)
    return pd.DataFrame(
        {
            "treatment": names,
            "compound": treated.compounds[first].astype(str),
            "concentration": treated.concentrations[first].astype(str),
            "wells": np.bincount(treatment[treatment >= 0]),
            "correlation": found,
            "p_value": test.p_values,
            "corrected_p_value": corrected,
            "significant": corrected < settings.significance,
        }
    )


def _shuffle_scores(
    table: pd.DataFrame,
    test: ReplicateTest,
    line: str,
    excluded: dict[str, int],
    protocol: EvaluationProtocol,
) -> tuple[Score, Score]:
    settings = protocol.settings
    shuffles = f"{line}; {test.shuffles} shuffles of treatments within plates"
    reproducibility = _score(
        _NAMES[1],
        table["correlation"],
        f"{shuffles}; mean over treatments",
        excluded,
        protocol,
        chance=test.mean,
        details={"p_value": test.p_value},
    )
    significant = _score(
        _NAMES[2],
        table["significant"],
        f"{shuffles}; fraction with q < {settings.significance:g} (Benjamini-Hochberg)",
        excluded,
        protocol,
        chance=None,
        details={
            "significant": float(table["significant"].sum()),
            "lowest_p_value": float(table["p_value"].min()),
        },
    )
    return reproducibility, significant


def _score(
    name: str,
    column: pd.Series,
    line: str,
    excluded: dict[str, int],
    protocol: EvaluationProtocol,
    *,
    chance: float | None,
    details: dict[str, float],
) -> Score:
    """The mean of a column of the table."""
    values = column.to_numpy(np.float64)
    return Score(
        name,
        float(values.mean()),
        len(values),
        "treatments",
        line,
        *interval(values, protocol),
        excluded=excluded,
        chance=chance,
        details=details,
    )


def _none(line: str, reason: str) -> ScoreResult:
    return ScoreResult(tuple(not_applicable(name, "treatments", line, reason) for name in _NAMES))


def _usable_wells(profiles: ProfileSet, protocol: EvaluationProtocol) -> tuple[TreatedWells, np.ndarray]:
    """Treated wells with correlations, and their profiles as unit vectors."""
    treated = treated_wells(profiles, protocol)
    excluded = dict(treated.excluded)
    units, varied = correlation_rows(profiles.features[treated.rows])
    if not varied.all():
        excluded["wells with one value in all features"] = int((~varied).sum())
    keep = varied & _drawn(profiles.treatments[treated.rows], protocol.settings.seed)
    if keep.sum() < varied.sum():
        excluded[f"wells left out by lot, above {_MOST_WELLS}"] = int(varied.sum() - keep.sum())
    return TreatedWells(treated.rows[keep], excluded), units[keep]


def _drawn(treatments: np.ndarray, seed: int) -> np.ndarray:
    """(wells,) bool: whole treatments, as many as `_MOST_WELLS` hold."""
    if len(treatments) <= _MOST_WELLS:
        return np.ones(len(treatments), bool)
    _, number, sizes = np.unique(treatments.astype(str), return_inverse=True, return_counts=True)
    order = np.random.default_rng([seed, 2]).permutation(len(sizes))
    fits = np.empty(len(sizes), bool)
    fits[order] = np.cumsum(sizes[order]) <= _MOST_WELLS
    return fits[number]


def _replicated(
    treatments: np.ndarray, excluded: dict[str, int]
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Names of treatments with several wells; each well's number among them or -1; what is left out."""
    names, group, sizes = np.unique(treatments.astype(str), return_inverse=True, return_counts=True)
    several = sizes > 1
    number = np.where(several, np.cumsum(several) - 1, -1)
    if not several.all():
        excluded = {**excluded, "treatments with one well": int((~several).sum())}
    return names[several], number[group], excluded
