"""First hits: how many others are nearer than the first profile of the same kind?"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.bootstrap import count_interval
from dp_assets.evaluation.chance import no_hit_within
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.retrieval import Retrieval, retrieval
from dp_assets.evaluation.score import Score, ScoreResult, not_applicable
from dp_assets.evaluation.similarity import unit_rows, zero_rows
from dp_assets.evaluation.well_selection import treated_wells

# Equal rows must be equally near, whatever the order of sums.
_TIE = 1e-12

# Rows that are searched with at a time, and similarities that are held at a time.
_ROWS_AT_A_TIME = 1024
_SIMILARITIES_AT_A_TIME = 2**23

# A mean that is the threshold up to rounding is not above it.
_DECIMALS = 9
_ROUNDING = 10.0**-_DECIMALS


def first_hits(profiles: ProfileSet, protocol: EvaluationProtocol) -> ScoreResult:
    """First hits of treatments, wells or sites, as the level of the profiles is.

    Source: Moshkov et al. 2024, "Learning representations for image-based profiling of perturbations".

    Treatments: all treatments with a label are ranked, and a hit is another one that shares a label. The rank
    of the treatment itself is 0, so the nearest other one has rank 1.
    Wells and sites: all treated ones outside the query's own well are ranked, from rank 0, and a hit has the
    same treatment. Controls are neither queries nor ranked, and nor are compounds in `exclude_from_wells`.
    What is as similar as the best hit does not come before it.

    Parameters
    ----------
    profiles : of treatments, wells or sites.
    protocol : a treatment counts if its mean rank, in per cent of the number ranked, is not above
        100 - `top_percentile`. With `compat`, a treatment whose label nobody shares has rank 0.

    Returns
    -------
    ScoreResult
        Score `first_hit_<level>`: the number of treatments that count. Tables "first_hit_<level>" (one row
        per treatment) and, for treatments, "first_hit_labels" (one row per label).

    Raises
    ------
    ValueError : profiles of another level.
    """
    if profiles.level == "treatment":
        return _of_treatments(profiles, protocol)
    if profiles.level in ("well", "site"):
        return _of_rows([profiles], profiles.level, protocol)
    raise ValueError(f"Expected profiles of treatments, wells or sites. Received level {profiles.level!r}.")


def cell_first_hits(repeats: Iterable[ProfileSet], protocol: EvaluationProtocol) -> ScoreResult:
    """First hits of single cells among the cells of other wells, over several draws of cells.

    Parameters
    ----------
    repeats : one set of cells per draw: as many cells from every treated well, sphered. Taken one at a time.
    protocol : as for `first_hits`.

    Returns
    -------
    ScoreResult
        Score `first_hit_cell`: the number of treatments whose mean rank over all draws counts; table
        "first_hit_cell".
    """
    return _of_rows(repeats, "cell", protocol)


def first_hit_ranks(features: np.ndarray, wells: np.ndarray, treatments: np.ndarray) -> np.ndarray:
    """The 0-based rank of the first row of the same treatment, among the rows of other wells.

    The rank is the number of rows of other wells that are more similar than the most similar row of the
    treatment. Similarities are cosines in float64: in float32, rows that are equal would be ranked by the
    order they came in. Memory holds a block of them.

    Parameters
    ----------
    features : (rows, features), finite.
    wells, treatments : (rows,) what each row is of, as numbers or text.

    Returns
    -------
    numpy.ndarray
        (rows,) float64; NaN where no other well has the treatment.
    """
    unit = unit_rows(np.asarray(features, np.float64))
    well = np.unique(wells, return_inverse=True)[1]
    treatment = np.unique(treatments, return_inverse=True)[1]
    ranks = np.full(len(unit), np.nan)
    block = max(1, min(_ROWS_AT_A_TIME, _SIMILARITIES_AT_A_TIME // max(1, len(unit))))
    for start in range(0, len(unit), block):
        rows = slice(start, start + block)
        similarities = unit[rows] @ unit.T
        # Rows of the query's own well come last and are never counted.
        similarities[well[rows, None] == well] = -np.inf
        positives = np.where(treatment[rows, None] == treatment, similarities, -np.inf)
        best = positives.max(axis=1, initial=-np.inf)
        nearer = (similarities > best[:, None] + _TIE).sum(axis=1)
        ranks[rows] = np.where(np.isfinite(best), nearer, np.nan)
    return ranks


def _of_treatments(treatments: ProfileSet, protocol: EvaluationProtocol) -> ScoreResult:
    found = retrieval(treatments, protocol)
    compat = protocol.settings.compat
    line = f"cosine, rank of the first other treatment that shares a label{', compat' if compat else ''}"
    if found.reason:
        return ScoreResult((not_applicable("first_hit_treatment", "treatments", line, found.reason),))
    n = len(found.treatments)
    ranks = np.full(n, 0.0 if compat else np.nan)
    for query, relevant, similarities in zip(
        found.queries, found.matches[found.queries], found.similarities[found.queries], strict=True
    ):
        others = np.arange(n) != query
        ranks[query] = 1 + (similarities[others] > similarities[relevant].max()).sum()
    table = found.described(np.arange(n)).assign(first_hit=ranks, top_percent=100 * ranks / n)
    table["percent_group"] = np.ceil(table["top_percent"])
    counted = table[table["first_hit"].notna()]
    excluded = dict(found.excluded)
    if compat:
        excluded.pop("no other treatment shares a label", None)
    score = _headline(
        "first_hit_treatment",
        counted["top_percent"].to_numpy(),
        line,
        excluded,
        {
            "ranked": n,
            "median_rank": float(counted["first_hit"].median()),
            "zero_profiles": found.zero_profiles,
        },
        protocol,
        chance=_expected_count(found, _threshold(protocol)),
    )
    labels = _per_label(table, found.treatments.label_sets(protocol.label_separator))
    return ScoreResult((score,), {"first_hit_treatment": table, "first_hit_labels": labels})


def _per_label(table: pd.DataFrame, label_sets: list[frozenset[str]]) -> pd.DataFrame:
    """Means over the treatments with a label; one with several labels counts for each."""
    pairs = [(label, row) for row, labels in enumerate(label_sets) for label in labels]
    long = table.iloc[[row for _, row in pairs]].assign(label=[label for label, _ in pairs])
    return long.groupby("label", as_index=False).agg(
        treatments=("treatment", "size"), first_hit=("first_hit", "mean"), top_percent=("top_percent", "mean")
    )


def _expected_count(found: Retrieval, threshold: float) -> float:
    """How many queries would count if neighbours came in random order."""
    rank = int(len(found.treatments) * threshold / 100 + _ROUNDING)
    missed = no_hit_within(found.relevant_counts, found.neighbours, np.array([min(rank, found.neighbours)]))
    return float((1 - missed).sum())


def _of_rows(sets: Iterable[ProfileSet], level: str, protocol: EvaluationProtocol) -> ScoreResult:
    name = f"first_hit_{level}"
    line = f"cosine, mean rank of the first {level} of the same treatment among other wells"
    parts: list[pd.DataFrame] = []
    excluded: dict[str, int] = {}
    zeros = 0
    for number, profiles in enumerate(sets):
        rows = treated_wells(profiles, protocol).rows
        excluded = _excluded_treatments(profiles, rows)
        taken = profiles.take(rows)
        zeros += zero_rows(taken.features)
        parts.append(_ranked(taken).assign(draw=number))
    ranked = pd.concat(parts) if parts else pd.DataFrame({"treatment": [], "first_hit": []})
    alone = set(ranked["treatment"]) - set(ranked.loc[ranked["first_hit"].notna(), "treatment"])
    if alone:
        excluded["treatments in one well only"] = len(alone)
    counted = ranked[ranked["first_hit"].notna()]
    if counted.empty:
        reason = f"no treatment has treated {level}s in two wells"
        return ScoreResult((not_applicable(name, "treatments", line, reason),))
    summary = _summary(counted)
    details = {
        "ranked": float(np.mean([len(part) for part in parts])),
        "queries": len(counted),
        "median_rank": float(counted["first_hit"].median()),
        "zero_profiles": zeros,
    }
    if level == "cell":
        details |= _over_draws(counted, _threshold(protocol))
    top_percent = summary["top_percent"].to_numpy()
    return ScoreResult(
        (_headline(name, top_percent, line, excluded, details, protocol),),
        {name: summary},
    )


def _excluded_treatments(profiles: ProfileSet, rows: np.ndarray) -> dict[str, int]:
    """Treatments that are left out because of their compound; controls are no treatments."""
    treated = set(profiles.treatments[~profiles.is_control]) - {""}
    hidden = treated - set(profiles.treatments[rows])
    return {"treatments of compounds in exclude_from_wells": len(hidden)} if hidden else {}


def _ranked(profiles: ProfileSet) -> pd.DataFrame:
    """The first hit of every row, and its rank in per cent of all rows."""
    place = pd.MultiIndex.from_arrays([profiles.plates, profiles.wells]).factorize()[0]
    ranks = first_hit_ranks(profiles.features, place, profiles.treatments.astype(str))
    return pd.DataFrame(
        {
            "treatment": profiles.treatments,
            "compound": profiles.compounds,
            "label": profiles.labels,
            "first_hit": ranks,
            "top_percent": 100 * ranks / max(1, len(ranks)),
        }
    )


def _summary(ranked: pd.DataFrame) -> pd.DataFrame:
    """One row per treatment: mean and scatter of the ranks of its rows."""
    summary = ranked.groupby("treatment", as_index=False).agg(
        compound=("compound", "first"),
        label=("label", "first"),
        rows=("first_hit", "size"),
        first_hit=("first_hit", "mean"),
        std=("first_hit", "std"),
        top_percent=("top_percent", "mean"),
    )
    varies = summary["std"].where(summary["std"] > 0)
    away = summary["first_hit"].where(summary["first_hit"] > 0)
    top_percent = summary["top_percent"].round(_DECIMALS)
    return summary.assign(
        top_percent=top_percent,
        percent_group=np.ceil(top_percent),
        coefficient_of_variation=summary["std"] / away,
        signal_to_noise=summary["first_hit"] / varies,
    )


def _over_draws(ranked: pd.DataFrame, threshold: float) -> dict[str, float]:
    """How the number of treatments that count differs between draws of cells."""
    means = ranked.groupby(["draw", "treatment"])["top_percent"].mean()
    counts = (means.round(_DECIMALS) <= threshold).groupby("draw").sum()
    return {
        "draws": len(counts),
        "count_per_draw": float(counts.mean()),
        "count_per_draw_std": float(counts.std()) if len(counts) > 1 else 0.0,
    }


def _threshold(protocol: EvaluationProtocol) -> float:
    """The largest `top_percent` that counts, free of the rounding of 100 - 99.9."""
    return round(100 - protocol.settings.top_percentile, _DECIMALS)


def _headline(
    name: str,
    top_percent: np.ndarray,
    line: str,
    excluded: dict[str, int],
    details: dict[str, float],
    protocol: EvaluationProtocol,
    chance: float | None = None,
) -> Score:
    threshold = _threshold(protocol)
    near = top_percent <= threshold
    return Score(
        name,
        float(near.sum()),
        len(near),
        "treatments",
        f"{line}; treatments with it in the top {threshold:g} %",
        *count_interval(near, protocol),
        excluded=excluded,
        chance=chance,
        details={"fraction": float(near.mean()), "mean_top_percent": float(top_percent.mean()), **details},
    )
