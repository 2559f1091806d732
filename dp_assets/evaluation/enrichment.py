"""Are treatments with the same label overrepresented among the nearest neighbours?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.bootstrap import count_interval, interval
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.retrieval import Retrieval, retrieval
from dp_assets.evaluation.score import Score, ScoreResult, not_applicable

_NAMES = ("enrichment", "enrichment_significant", "enrichment_hits")
# Per cent of neighbours that count as near, for the curve.
_CURVE = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 50.0)


@dataclass(frozen=True)
class Contingency:
    """Near and far neighbours of each query; all arrays (q,), counts int64.

    Attributes
    ----------
    threshold : the similarity above which a neighbour is near.
    near_matches, near_others, far_matches, far_others : neighbours that share a label with the query, or not.
    """

    threshold: np.ndarray
    near_matches: np.ndarray
    near_others: np.ndarray
    far_matches: np.ndarray
    far_others: np.ndarray

    def odds_ratios(self) -> np.ndarray:
        """(q,) the sample odds ratios, see `odds_ratio`."""
        return odds_ratio(self.near_matches, self.near_others, self.far_matches, self.far_others)

    def p_values(self) -> np.ndarray:
        """(q,) Fisher's exact test, one-sided: as many near matches, or more."""
        near = self.near_matches + self.near_others
        matches = self.near_matches + self.far_matches
        total = near + self.far_matches + self.far_others
        return scipy.stats.hypergeom.sf(self.near_matches - 1, total, matches, near)


def contingency(similarities: np.ndarray, matches: np.ndarray, percentile: float) -> Contingency:
    """Count near and far neighbours of each query.

    Parameters
    ----------
    similarities : (q, neighbours), the query itself left out.
    matches : (q, neighbours) bool.
    percentile : of a query's similarities (linear interpolation); neighbours above it are near.
    """
    threshold = np.percentile(similarities, percentile, axis=1)
    near = similarities > threshold[:, None]
    near_matches = (near & matches).sum(axis=1)
    near_others = near.sum(axis=1) - near_matches
    far_matches = matches.sum(axis=1) - near_matches
    far_others = matches.shape[1] - near_matches - near_others - far_matches
    return Contingency(threshold, near_matches, near_others, far_matches, far_others)


def odds_ratio(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """a d / (b c) of tables [[a, b], [c, d]]; d where that is infinite, 0 where it is 0 / 0."""
    above, below = (a * d).astype(np.float64), (b * c).astype(np.float64)
    ratio = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return np.where((below == 0) & (above > 0), d, ratio)


def enrichment(treatments: ProfileSet, protocol: EvaluationProtocol) -> ScoreResult:
    """Folds of enrichment of shared labels among each treatment's nearest neighbours.

    Source: Moshkov et al. 2024, "Learning representations for image-based profiling of perturbations".

    Parameters
    ----------
    treatments : one row per treatment.
    protocol : neighbours above the `top_percentile` of a query's similarities are near. `significance` is the
        level of Fisher's test after Holm and Sidak.

    Returns
    -------
    ScoreResult
        Scores `enrichment` (mean odds ratio), `enrichment_significant` and `enrichment_hits` (numbers of
        queries: with a significant enrichment, with a match among the near ones); tables "enrichment" (one
        row per query) and "enrichment_curve" (top_percent, folds).
    """
    found = retrieval(treatments, protocol)
    percentile = protocol.settings.top_percentile
    line = f"cosine, neighbours above the {percentile:g}th percentile of a treatment's similarities"
    if found.reason:
        return ScoreResult(tuple(not_applicable(name, "queries", line, found.reason) for name in _NAMES))
    similarities, matches = _without_self(found)
    table = contingency(similarities, matches, percentile)
    queries = _queries(found, table, protocol.settings.significance)
    curve = _curve(similarities, matches, percentile)
    return ScoreResult(
        _scores(found, table, queries, line, protocol),
        {"enrichment": queries, "enrichment_curve": curve},
    )


def _without_self(found: Retrieval) -> tuple[np.ndarray, np.ndarray]:
    """(q, n - 1) similarities and matches of the queries."""
    others = np.arange(len(found.treatments)) != found.queries[:, None]
    shape = (len(found.queries), found.neighbours)
    return (
        found.similarities[found.queries][others].reshape(shape),
        found.matches[found.queries][others].reshape(shape),
    )


def _queries(found: Retrieval, table: Contingency, significance: float) -> pd.DataFrame:
    from statsmodels.stats.multitest import multipletests

    p_values = table.p_values()
    # A p-value of 1 is -inf on the way there.
    with np.errstate(divide="ignore"):
        significant, corrected, _, _ = multipletests(p_values, alpha=significance, method="holm-sidak")
    return found.described(found.queries).assign(
        threshold=table.threshold,
        near_matches=table.near_matches,
        near_others=table.near_others,
        far_matches=table.far_matches,
        far_others=table.far_others,
        odds_ratio=table.odds_ratios(),
        p_value=p_values,
        corrected_p_value=corrected,
        significant=significant,
    )


def _curve(similarities: np.ndarray, matches: np.ndarray, percentile: float) -> pd.DataFrame:
    """Mean odds ratio for several numbers of near neighbours."""
    tops = sorted({*_CURVE, round(100 - percentile, 6)})
    folds = [contingency(similarities, matches, 100 - top).odds_ratios().mean() for top in tops]
    return pd.DataFrame({"top_percent": tops, "folds": folds})


def _scores(
    found: Retrieval, table: Contingency, queries: pd.DataFrame, line: str, protocol: EvaluationProtocol
) -> tuple[Score, ...]:
    ratios = table.odds_ratios()
    significant = queries["significant"].to_numpy(bool)
    has_hit = table.near_matches > 0
    mean = Score(
        "enrichment",
        float(ratios.mean()),
        len(ratios),
        "queries",
        f"{line}; mean odds ratio",
        *interval(ratios, protocol),
        excluded=found.excluded,
        chance=_expected_odds_ratio(table),
        details={
            "neighbours": found.neighbours,
            "median": float(np.median(ratios)),
            "near_matches": int(table.near_matches.sum()),
            "infinite_odds_ratios": int(_infinite(table).sum()),
            "zero_profiles": found.zero_profiles,
        },
    )
    level = f"{protocol.settings.significance:g}"
    counts = {
        "enrichment_significant": (significant, f"queries with p < {level} (Fisher exact, Holm-Sidak)"),
        "enrichment_hits": (has_hit, "queries with a match among the near neighbours"),
    }
    numbers = tuple(
        Score(
            name,
            float(flags.sum()),
            len(flags),
            "queries",
            f"{line}; {meaning}",
            *count_interval(flags, protocol),
            excluded=found.excluded,
            details={"fraction": float(flags.mean())},
        )
        for name, (flags, meaning) in counts.items()
    )
    return (mean, *numbers)


def _infinite(table: Contingency) -> np.ndarray:
    above, below = table.near_matches * table.far_others, table.near_others * table.far_matches
    return (below == 0) & (above > 0)


def _expected_odds_ratio(table: Contingency) -> float:
    """The mean over queries of the odds ratio expected of near neighbours drawn at random."""
    near = table.near_matches + table.near_others
    matches = table.near_matches + table.far_matches
    total = int(near[0] + table.far_matches[0] + table.far_others[0])
    pairs, queries = np.unique(np.stack([near, matches], axis=1), axis=0, return_counts=True)
    expected = []
    for drawn, relevant in pairs:
        a = np.arange(max(0, drawn + relevant - total), min(drawn, relevant) + 1)
        ratios = odds_ratio(a, drawn - a, relevant - a, total - drawn - relevant + a)
        expected.append(float(scipy.stats.hypergeom.pmf(a, total, relevant, drawn) @ ratios))
    return float(np.average(expected, weights=queries))
