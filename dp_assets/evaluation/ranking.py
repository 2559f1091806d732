"""Classic measures of ranked lists: reciprocal rank, R-precision, discounted cumulative gain."""

from typing import Literal

import numpy as np

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.bootstrap import interval
from dp_assets.evaluation.chance import expected_reciprocal_rank
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.retrieval import Retrieval, retrieval
from dp_assets.evaluation.score import Score, ScoreResult, not_applicable

Weighting = Literal["rank_plus_one", "from_rank_two"]

_MEANING = {
    "mrr": "1 / rank of the first match",
    "r_precision": "precision at as many neighbours as there are matches",
    "precision_to_last_hit": "precision at the rank of the last match",
    "ndcg": "matches weighted 1 / log2(rank + 1)",
    "ndcg_from_rank_two": "matches weighted 1 / log2(rank), the first two alike",
}


def reciprocal_rank(relevant: np.ndarray) -> float:
    """1 / rank of the first relevant neighbour; 0 without one. `relevant` (n,) bool, nearest first."""
    return float(1 / (np.argmax(relevant) + 1)) if relevant.any() else 0.0


def r_precision(relevant: np.ndarray) -> float:
    """Precision among the first R neighbours, R being the number of relevant ones; 0 without any.

    Source: Manning, Raghavan and Schuetze 2008, "Introduction to Information Retrieval".
    """
    count = int(relevant.sum())
    return float(relevant[:count].mean()) if count else 0.0


def precision_to_last_hit(relevant: np.ndarray) -> float:
    """Precision at the rank where the last relevant neighbour is found; 0 without any.

    Some programs call this R-precision.
    """
    hits = np.flatnonzero(relevant)
    return float(len(hits) / (hits[-1] + 1)) if len(hits) else 0.0


def gain_weights(ranks: int, weighting: Weighting) -> np.ndarray:
    """(ranks,) what a relevant neighbour counts at each rank.

    "rank_plus_one" is 1 / log2(rank + 1). "from_rank_two" is 1 / log2(rank), and 1 at rank 1
    (Jarvelin and Kekalainen 2002).
    """
    rank = np.arange(1, ranks + 1)
    return 1 / np.log2(rank + 1 if weighting == "rank_plus_one" else np.maximum(rank, 2))


def ndcg(relevant: np.ndarray, weighting: Weighting = "rank_plus_one") -> float:
    """Discounted cumulative gain as a share of that of the best order; 0 without relevant neighbours."""
    count = int(relevant.sum())
    if not count:
        return 0.0
    weights = gain_weights(len(relevant), weighting)
    return float(weights[relevant].sum() / weights[:count].sum())


def ranking_scores(treatments: ProfileSet, protocol: EvaluationProtocol) -> ScoreResult:
    """Means over queries of reciprocal rank, R-precision and NDCG.

    Every treatment with a match is a query; all other treatments with a label are ranked by cosine
    similarity, ties in the order of their rows.

    Parameters
    ----------
    treatments : one row per treatment.
    protocol : its `label_separator` splits labels.

    Returns
    -------
    ScoreResult
        Scores `mrr`, `r_precision`, `precision_to_last_hit`, `ndcg`, `ndcg_from_rank_two`; table "ranking"
        with one row per query.
    """
    found = retrieval(treatments, protocol)
    line = "cosine, treatments that share a label are relevant"
    if found.reason:
        return ScoreResult(
            tuple(
                not_applicable(name, "queries", f"{line}; {meaning}", found.reason)
                for name, meaning in _MEANING.items()
            )
        )
    ranked = [ranking.relevant for ranking in found.rankings()]
    values = {
        "mrr": np.array([reciprocal_rank(relevant) for relevant in ranked]),
        "r_precision": np.array([r_precision(relevant) for relevant in ranked]),
        "precision_to_last_hit": np.array([precision_to_last_hit(relevant) for relevant in ranked]),
        "ndcg": np.array([ndcg(relevant) for relevant in ranked]),
        "ndcg_from_rank_two": np.array([ndcg(relevant, "from_rank_two") for relevant in ranked]),
    }
    chances = _by_chance(found)
    details = {"neighbours": found.neighbours, "zero_profiles": found.zero_profiles}
    scores = tuple(
        Score(
            name,
            float(per_query.mean()),
            len(per_query),
            "queries",
            f"{line}; {_MEANING[name]}",
            *interval(per_query, protocol),
            excluded=found.excluded,
            chance=chances.get(name),
            details=details,
        )
        for name, per_query in values.items()
    )
    return ScoreResult(
        scores,
        {"ranking": found.described(found.queries).assign(matches=found.relevant_counts, **values)},
    )


def _by_chance(found: Retrieval) -> dict[str, float]:
    """Expected values for neighbours in random order."""
    relevant, neighbours = found.relevant_counts, found.neighbours
    return {
        "mrr": expected_reciprocal_rank(relevant, neighbours),
        "r_precision": float(np.mean(relevant / neighbours)),
        "ndcg": _expected_ndcg(relevant, neighbours, "rank_plus_one"),
        "ndcg_from_rank_two": _expected_ndcg(relevant, neighbours, "from_rank_two"),
    }


def _expected_ndcg(relevant: np.ndarray, neighbours: int, weighting: Weighting) -> float:
    weights = gain_weights(neighbours, weighting)
    best = np.cumsum(weights)[relevant - 1]
    return float(np.mean(relevant / neighbours * weights.sum() / best))
