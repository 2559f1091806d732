"""Precision and recall of the nearest neighbours, and mean average precision of the interpolated curve."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.bootstrap import interval
from dp_assets.evaluation.chance import expected_average_precision
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.retrieval import Ranking, Retrieval, retrieval
from dp_assets.evaluation.score import Score, ScoreResult, not_applicable


@dataclass(frozen=True)
class _Cutoff:
    """A number of neighbours, and what precision and recall there are called."""

    k: int
    precision: str | None
    recall: str | None


def average_precision(ranking: Ranking) -> float:
    """Area under the precision-recall curve without interpolation; equal similarities are one step.

    The definition of scikit-learn's `average_precision_score`.
    """
    return float(_precision_at_steps(ranking)[ranking.relevant].mean())


def interpolated_precision(ranking: Ranking, points: int, *, lagging: bool = False) -> np.ndarray:
    """Precision at `points` equally spaced recalls from 0 to 1.

    The precision at a recall is the largest at that recall or any higher one. At recall 0 no point is added
    that the ranking does not have.

    Parameters
    ----------
    ranking : of one query, with at least one relevant neighbour.
    points : at least 2.
    lagging : give at each recall the value for recalls above the next higher point instead, as the published
        notebooks do.

    Returns
    -------
    numpy.ndarray
        (points,) float64, by ascending recall.
    """
    best_from = np.maximum.accumulate(_precision_at_steps(ranking)[::-1])[::-1]
    relevant = int(ranking.relevant.sum())
    # Whole numbers, as recalls that are equal must be equal.
    position = np.arange(points) * relevant
    if lagging:
        position = np.append(position[1:], position[-1])
        hits = np.minimum(position // (points - 1) + 1, relevant)
    else:
        hits = -(-position // (points - 1))
    at_hit = best_from[ranking.relevant]
    return np.where(hits == 0, best_from[0], at_hit[np.maximum(hits, 1) - 1])


def precision_recall(treatments: ProfileSet, protocol: EvaluationProtocol) -> ScoreResult:
    """Precision@k, recall@k, and the interpolated precision-recall curve with its mean, the mAP.

    Source: Moshkov et al. 2024, "Learning representations for image-based profiling of perturbations". Every
    treatment with a match is a query and is ranked against all others by cosine similarity.

    Parameters
    ----------
    treatments : one row per treatment.
    protocol : `ks` of its settings; precision is also taken at 1 % of the treatments (at least one), recall
        at ten times as many. With `compat`, as in the published notebooks: recall@k counts k - 1 neighbours
        and the query itself among the relevant ones, and the curve leaves out queries with one match and lags
        by one point.

    Returns
    -------
    ScoreResult
        Scores `precision@<k>`, `recall@<k>`, `precision@1%`, `recall@10%`, `map` (mean of the curve over
        recalls), `map_auc` (its area by trapezoids) and `average_precision` (without interpolation). Tables
        "precision_recall_curve" (recall, precision), "precision_recall_at_k" (k, precision, recall) and
        "queries" (one row per query).
    """
    found = retrieval(treatments, protocol)
    compat = protocol.settings.compat
    line = "cosine, treatments that share a label are relevant" + (", compat" if compat else "")
    cutoffs = _cutoffs(len(found.treatments), protocol.settings.ks)
    if found.reason:
        names = [name for cutoff in cutoffs for name in (cutoff.precision, cutoff.recall) if name]
        names += ["map", "map_auc", "average_precision"]
        return ScoreResult(tuple(not_applicable(name, "queries", line, found.reason) for name in names))
    points = len(found.treatments)
    deepest = max(cutoff.k for cutoff in cutoffs)
    hits, precisions, curves = [], [], []
    for ranking in found.rankings():
        hits.append(np.cumsum(ranking.relevant[:deepest]))
        precisions.append(average_precision(ranking))
        curves.append(interpolated_precision(ranking, points, lagging=compat))
    at_ks = _AtCutoffs(found, np.array(hits), compat)
    curve = _Curve(found, np.array(curves), compat)
    plain = Score(
        "average_precision",
        float(np.mean(precisions)),
        len(precisions),
        "queries",
        f"{line}; mean over queries, not interpolated",
        *interval(np.array(precisions), protocol),
        excluded=found.excluded,
        chance=expected_average_precision(found.relevant_counts, found.neighbours),
        details={"neighbours": found.neighbours, "zero_profiles": found.zero_profiles},
    )
    return ScoreResult(
        (*at_ks.scores(cutoffs, line, protocol), *curve.scores(line, protocol), plain),
        {
            "precision_recall_curve": curve.table(),
            "precision_recall_at_k": at_ks.table(protocol.settings.ks),
            "queries": found.described(found.queries).assign(
                matches=found.relevant_counts,
                average_precision=precisions,
                interpolated_average_precision=curve.per_query.mean(axis=1),
                **at_ks.columns(cutoffs),
            ),
        },
    )


def _precision_at_steps(ranking: Ranking) -> np.ndarray:
    """(n - 1,) precision at the end of each rank's group of equal similarities."""
    ranks = np.arange(1, len(ranking.relevant) + 1)
    precision = np.cumsum(ranking.relevant) / ranks
    is_end = np.append(np.diff(ranking.similarities) != 0, True)
    ends = np.flatnonzero(is_end)
    return precision[ends[np.searchsorted(ends, ranks - 1)]]


def _cutoffs(treatments: int, ks: tuple[int, ...]) -> list[_Cutoff]:
    top = max(int(0.01 * treatments), 1)
    return [
        *(_Cutoff(k, f"precision@{k}", f"recall@{k}") for k in ks),
        _Cutoff(top, "precision@1%", None),
        _Cutoff(10 * top, None, "recall@10%"),
    ]


@dataclass(frozen=True)
class _AtCutoffs:
    """Precision and recall of the nearest k; `hits` (q, largest k) are the matches among the first ones."""

    found: Retrieval
    hits: np.ndarray
    compat: bool

    def precisions(self, k: int) -> np.ndarray:
        return self.hits[:, k - 1] / k

    def recalls(self, k: int) -> np.ndarray:
        relevant = self.found.relevant_counts
        if not self.compat:
            return self.hits[:, k - 1] / relevant
        inside = self.hits[:, k - 2] if k > 1 else np.zeros(len(relevant))
        return inside / (relevant + 1)

    def scores(self, cutoffs: list[_Cutoff], line: str, protocol: EvaluationProtocol) -> Iterator[Score]:
        neighbours = self.found.neighbours
        by_chance = float(np.mean(self.found.relevant_counts / neighbours))
        for cutoff in cutoffs:
            among = f"{line}; {cutoff.k} nearest of {neighbours}"
            for name, values, chance in (
                (cutoff.precision, self.precisions, by_chance),
                (cutoff.recall, self.recalls, None if self.compat else cutoff.k / neighbours),
            ):
                if name is None:
                    continue
                if cutoff.k > neighbours:
                    reason = f"a treatment has only {neighbours} neighbours"
                    yield not_applicable(name, "queries", among, reason)
                    continue
                found = values(cutoff.k)
                yield Score(
                    name,
                    float(found.mean()),
                    len(found),
                    "queries",
                    among,
                    *interval(found, protocol),
                    excluded=self.found.excluded,
                    chance=chance,
                )

    def table(self, ks: tuple[int, ...]) -> pd.DataFrame:
        rows = [
            (k, self.precisions(k).mean(), self.recalls(k).mean()) for k in ks if k <= self.found.neighbours
        ]
        return pd.DataFrame(rows, columns=["k", "precision", "recall"])

    def columns(self, cutoffs: list[_Cutoff]) -> dict[str, np.ndarray]:
        """Those at 1 % and 10 %, query by query."""
        columns = {}
        for cutoff in cutoffs:
            if cutoff.k <= self.found.neighbours:
                if cutoff.recall is None:
                    columns["precision@1%"] = self.precisions(cutoff.k)
                if cutoff.precision is None:
                    columns["recall@10%"] = self.recalls(cutoff.k)
        return columns


@dataclass(frozen=True)
class _Curve:
    """The interpolated curves of all queries, `per_query` (q, points) by ascending recall."""

    found: Retrieval
    per_query: np.ndarray
    compat: bool

    @property
    def counted(self) -> np.ndarray:
        """(q,) bool, the queries that the curve is an average of."""
        return self.found.relevant_counts > (1 if self.compat else 0)

    def recalls(self) -> np.ndarray:
        return np.linspace(0, 1, self.per_query.shape[1])

    def table(self) -> pd.DataFrame:
        counted = self.per_query[self.counted]
        precision = counted.mean(axis=0) if len(counted) else np.full(self.per_query.shape[1], np.nan)
        return pd.DataFrame({"recall": self.recalls(), "precision": precision})

    def scores(self, line: str, protocol: EvaluationProtocol) -> Iterator[Score]:
        values = self.per_query[self.counted]
        excluded = dict(self.found.excluded)
        if not self.counted.all():
            excluded["only one other treatment shares a label (compat)"] = int((~self.counted).sum())
        points = f"interpolated precision at {values.shape[1]} recalls"
        averages = {
            "map": (values.mean(axis=1), "mean"),
            "map_auc": (np.trapezoid(values, self.recalls(), axis=1), "area by trapezoids"),
        }
        for name, (per_query, summary) in averages.items():
            method = f"{line}; {points}, {summary}"
            if not len(per_query):
                yield not_applicable(name, "queries", method, "no query has two matches (compat)")
                continue
            yield Score(
                name,
                float(per_query.mean()),
                len(per_query),
                "queries",
                method,
                *interval(per_query, protocol),
                excluded=excluded,
            )
