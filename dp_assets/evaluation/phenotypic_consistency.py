"""Phenotypic consistency: are treatments with the same label more like each other than like the rest?"""

from dataclasses import dataclass

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
from dp_assets.evaluation.label_precision import label_average_precisions
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.score import Score, ScoreResult, not_applicable

MOST_PAIRED = 1_500  # treatments whose pairs copairs lists, all at a time
_UNITS = {"consistency": "treatments", "consistency_fraction": "labels"}


def phenotypic_consistency(profiles: ProfileSet, protocol: EvaluationProtocol) -> ScoreResult:
    """Mean average precision of treatments that share a label against those that share none.

    The query is a treatment, once for each of its labels; its positives are treatments of other compounds
    with that label; its negatives are treatments without any of its labels. Other doses of its own compound
    are neither. All treatments take part, active or not.
    Source: Kalinin et al. 2025 ("phenotypic consistency"), computed by copairs
    (of more than 1,500 treatments ranked here: the list of all pairs would take gigabytes).

    Parameters
    ----------
    profiles : of treatments; controls are left out.
    protocol : with `compat`, p-values are those of copairs, which does not count ties.

    Returns
    -------
    ScoreResult
        Scores `consistency` (mean over treatments, each the mean over its labels) and `consistency_fraction`
        (labels with a q-value below `significance`); tables "consistency" with a row per label and
        "consistency_treatments" with a row per treatment.
    """
    settings = protocol.settings
    line = "mAP of treatments that share a label against the others, cosine"
    if profiles.level != "treatment":
        return _none(line, f"needs profiles of treatments, these are of {profiles.level}s")
    line += ", other compounds only" if (profiles.compounds != "").any() else ", compounds not known"
    line += f", {settings.permutations} permutations"
    line += ", ties not counted (compat)" if settings.compat else ""
    treatments = profiles.take(~profiles.is_control)
    pairs = _pairing(treatments, protocol.label_separator)
    if not pairs.labels:
        return _none(line, "no treatment has a label")
    rows = np.flatnonzero(pairs.usable)
    if not len(rows):
        return _none(line, "no label is shared by treatments of different compounds while others lack it")
    precisions = _precisions(treatments, pairs, rows)
    table = mean_average_precisions(precisions, "label", settings, strict_ties=settings.compat)
    precisions["expected"] = expected_average_precision(precisions)
    queries = precisions.groupby("row")[["average_precision", "expected"]].mean()
    tables = {
        "consistency": _with_counts(table, precisions),
        "consistency_treatments": _by_treatment(treatments, queries),
    }
    lowest = lowest_p_value(precisions, settings.permutations)
    return ScoreResult(_scores(table, queries, line, pairs, lowest, protocol), tables)


def _precisions(treatments: ProfileSet, pairs: "_Pairing", rows: np.ndarray) -> pd.DataFrame:
    """By copairs; of very many treatments the same numbers without its list of all pairs."""
    features, compounds = treatments.features[rows], pairs.compounds[rows]
    sets = [pairs.sets[row] for row in rows]
    if len(rows) > MOST_PAIRED:
        found = label_average_precisions(features, sets, compounds)
        position = found.pop("position").to_numpy()
        return found.assign(row=rows[position], compound=compounds[position])
    meta = pd.DataFrame({"row": rows, "compound": compounds, "label": [sorted(own) for own in sets]})
    return average_precisions(
        meta,
        features,
        positives=(["label"], ["compound"]),
        negatives=([], ["label"]),
        label_sets="label",
    )


def _scores(
    table: pd.DataFrame,
    queries: pd.DataFrame,
    line: str,
    pairs: "_Pairing",
    lowest: float,
    protocol: EvaluationProtocol,
) -> tuple[Score, Score]:
    values = queries["average_precision"].to_numpy()
    significant = table["significant"].to_numpy(np.float64)
    lonely = len(pairs.labels) - len(table)
    consistency = Score(
        "consistency",
        float(values.mean()),
        len(values),
        "treatments",
        line,
        *interval(values, protocol),
        excluded=pairs.excluded,
        chance=float(queries["expected"].mean()),
        details={"labels": len(table), "mean_over_labels": float(table["mean_average_precision"].mean())},
    )
    fraction = Score(
        "consistency_fraction",
        float(significant.mean()),
        len(table),
        "labels",
        f"{line}; fraction of labels with q < {protocol.settings.significance:g} (Benjamini-Hochberg), "
        "interval resamples labels",
        *interval(significant, protocol),
        excluded={"labels of one compound only": lonely} if lonely else {},
        details={"significant": float(significant.sum()), "lowest_p_value_possible": lowest},
    )
    return consistency, fraction


def _none(line: str, reason: str) -> ScoreResult:
    return ScoreResult(tuple(not_applicable(name, unit, line, reason) for name, unit in _UNITS.items()))


@dataclass(frozen=True)
class _Pairing:
    """Which treatments have positives and negatives.

    Attributes
    ----------
    usable : (treatments,) bool, those that take part in rankings; all False if there are no positives at all.
    sets : the labels of each treatment.
    compounds : (treatments,) int; a compound that is not known counts as one of its own.
    labels : all labels.
    excluded : reason -> number of treatments that are no queries.
    """

    usable: np.ndarray
    sets: list[frozenset[str]]
    compounds: np.ndarray
    labels: frozenset[str]
    excluded: dict[str, int]


def _pairing(treatments: ProfileSet, separator: str) -> _Pairing:
    sets = treatments.label_sets(separator)
    labels = frozenset[str]().union(*sets)
    compounds = _compound_numbers(treatments.compounds)
    column = {label: number for number, label in enumerate(sorted(labels))}
    member = np.zeros((len(sets), len(labels)), np.float32)
    for row, own in enumerate(sets):
        member[row, [column[label] for label in own]] = 1
    labelled = member.any(axis=1)
    shares = member @ member.T > 0
    # copairs gives a query without negatives those of another one.
    usable = labelled & (~shares & labelled).any(axis=1)
    positives = (shares & usable & (compounds[:, None] != compounds)).any(axis=1)
    reasons = {
        "no label": ~labelled,
        "shares a label with every other treatment": labelled & ~usable,
        "no other compound has its label": usable & ~positives,
    }
    return _Pairing(
        usable & (usable & positives).any(),
        sets,
        compounds,
        labels,
        {reason: int(rows.sum()) for reason, rows in reasons.items() if rows.any()},
    )


def _compound_numbers(compounds: np.ndarray) -> np.ndarray:
    """(rows,) int, equal where compounds are."""
    names = [name or f"\0{row}" for row, name in enumerate(compounds)]
    return np.unique(np.array(names, str), return_inverse=True)[1]


def _with_counts(table: pd.DataFrame, precisions: pd.DataFrame) -> pd.DataFrame:
    groups = precisions.groupby("label")
    counts = pd.DataFrame({"treatments": groups["row"].nunique(), "compounds": groups["compound"].nunique()})
    return table[["label"]].merge(counts, left_on="label", right_index=True).merge(table, on="label")


def _by_treatment(treatments: ProfileSet, queries: pd.DataFrame) -> pd.DataFrame:
    rows = queries.index.to_numpy()
    return pd.DataFrame(
        {
            "treatment": treatments.treatments[rows].astype(str),
            "compound": treatments.compounds[rows].astype(str),
            "label": treatments.labels[rows].astype(str),
            "average_precision": queries["average_precision"].to_numpy(),
            "chance": queries["expected"].to_numpy(),
        }
    )
