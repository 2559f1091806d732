"""Precision, recall and mAP against scikit-learn and loops."""

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, precision_recall_curve

from dp_assets.evaluation.precision_recall import (
    average_precision,
    interpolated_precision,
    precision_recall,
)
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.retrieval import Ranking
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles, score


def _random(seed: int, n: int = 60, labels: int = 9) -> ProfileSet:
    rng = np.random.default_rng(seed)
    number = rng.integers(labels, size=n)
    return profiles(
        rng.normal(size=(labels, 5))[number] + rng.normal(size=(n, 5)), labels=[f"l{i}" for i in number]
    )


def _neighbours(table: ProfileSet) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every query: similarities of the others, and whether they match."""
    unit = table.features / np.linalg.norm(table.features, axis=1, keepdims=True)
    similarities = unit @ unit.T
    found = []
    for row in range(len(unit)):
        others = np.arange(len(unit)) != row
        matches = table.labels[others] == table.labels[row]
        if matches.any():
            found.append((similarities[row, others], matches))
    return found


def _curve(similarities: np.ndarray, matches: np.ndarray, points: int) -> np.ndarray:
    """The interpolated curve by the points of scikit-learn's, without the one it adds at recall 0."""
    precision, recall, _ = precision_recall_curve(matches, similarities)
    precision, recall = precision[:-1], recall[:-1]
    # A recall is k / matches and a point i / (points - 1): compare whole numbers.
    hits = np.round(recall * matches.sum()).astype(int)
    return np.array(
        [precision[hits * (points - 1) >= i * matches.sum()].max() for i in range(points)], dtype=float
    )


def test_curves_and_averages_are_those_of_scikit_learn() -> None:
    table = _random(1)
    result = precision_recall(table, evaluation())
    curves = np.array([_curve(*query, len(table)) for query in _neighbours(table)])
    curve = result.tables["precision_recall_curve"]
    np.testing.assert_allclose(curve["recall"], np.linspace(0, 1, 60))
    np.testing.assert_allclose(curve["precision"], curves.mean(axis=0))
    mean = score(result, "map")
    assert mean.value == pytest.approx(curves.mean())
    assert mean.n == len(curves)
    assert mean.low < mean.value < mean.high
    assert score(result, "map_auc").value == pytest.approx(auc(curve["recall"], curve["precision"]))
    plain = [average_precision_score(matches, similarities) for similarities, matches in _neighbours(table)]
    np.testing.assert_allclose(result.tables["queries"]["average_precision"], plain)
    assert score(result, "average_precision").value == pytest.approx(np.mean(plain))


def test_equal_similarities_are_one_step() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        similarities = -np.sort(-rng.integers(0, 4, size=12) / 4)
        relevant = rng.random(12) < 0.4
        relevant[rng.integers(12)] = True
        ranking = Ranking(relevant, similarities)
        assert average_precision(ranking) == pytest.approx(average_precision_score(relevant, similarities))
        np.testing.assert_allclose(interpolated_precision(ranking, 13), _curve(similarities, relevant, 13))


def test_precision_and_recall_at_k_by_counting() -> None:
    table = _random(2)
    settings = evaluation(ks=(1, 5, 20))
    result = precision_recall(table, settings)
    compat = precision_recall(table, evaluation(ks=(1, 5, 20), compat=True))
    ordered = [matches[np.argsort(-similarities)] for similarities, matches in _neighbours(table)]
    for k in (1, 5, 20):
        precision = np.mean([relevant[:k].sum() / k for relevant in ordered])
        recall = np.mean([relevant[:k].sum() / relevant.sum() for relevant in ordered])
        lacking = np.mean([relevant[: k - 1].sum() / (relevant.sum() + 1) for relevant in ordered])
        assert score(result, f"precision@{k}").value == pytest.approx(precision)
        assert score(result, f"recall@{k}").value == pytest.approx(recall)
        assert score(compat, f"precision@{k}").value == pytest.approx(precision)
        assert score(compat, f"recall@{k}").value == pytest.approx(lacking)
    # 1 % of 60 is none, so one; ten times as many for recall.
    assert score(result, "precision@1%").value == pytest.approx(score(result, "precision@1").value)
    recall = np.mean([relevant[:10].sum() / relevant.sum() for relevant in ordered])
    assert score(result, "recall@10%").value == pytest.approx(recall)
    assert result.tables["precision_recall_at_k"]["k"].tolist() == [1, 5, 20]
    assert result.tables["queries"]["recall@10%"].mean() == pytest.approx(recall)


def test_one_percent_grows_with_the_number_of_treatments() -> None:
    table = _random(3, n=250)
    result = precision_recall(table, evaluation(ks=(2, 20)))
    assert score(result, "precision@1%").value == score(result, "precision@2").value
    assert score(result, "recall@10%").value == score(result, "recall@20").value


def test_the_published_curve_lags_and_leaves_out_queries_with_one_match() -> None:
    rng = np.random.default_rng(5)
    labels = ["a"] * 4 + ["b"] * 6 + ["c"] * 2
    table = profiles(rng.normal(size=(12, 4)), labels=labels)
    result = precision_recall(table, evaluation(compat=True))
    assert score(result, "map").n == 10
    assert score(result, "map").excluded == {"only one other treatment shares a label (compat)": 2}
    curves = []
    for similarities, matches in _neighbours(table)[:10]:
        ordered = matches[np.argsort(-similarities)]
        # From all matches found backwards to the first neighbour, with the best precision so far.
        last = np.flatnonzero(ordered)[-1]
        precision = (np.cumsum(ordered) / np.arange(1, 12))[last::-1]
        hits = np.cumsum(ordered)[last::-1]
        best = np.maximum.accumulate(precision)
        curve, step = [], 0
        for point in range(11, -1, -1):
            curve.append(best[step])
            while step < last and hits[step] * 11 > point * ordered.sum():
                step += 1
        curves.append(curve[::-1])
    np.testing.assert_allclose(result.tables["precision_recall_curve"]["precision"], np.mean(curves, axis=0))
    # On the same queries the lag costs precision.
    ours = precision_recall(table, evaluation()).tables["queries"]["interpolated_average_precision"]
    assert ours[:10].mean() > score(result, "map").value


def test_blocks_of_equal_profiles_are_perfect() -> None:
    number = np.repeat(np.arange(5), 4)
    table = profiles(np.eye(5)[number], labels=[f"l{i}" for i in number])
    result = precision_recall(table, evaluation(ks=(3,)))
    for name in ("map", "map_auc", "average_precision", "precision@3", "recall@3"):
        found = score(result, name)
        assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1)), name
    np.testing.assert_array_equal(result.tables["precision_recall_curve"]["precision"], 1)


def test_more_neighbours_than_there_are() -> None:
    table = profiles(np.eye(4) + 0.1, labels=["a", "a", "b", "b"])
    result = precision_recall(table, evaluation(ks=(3, 4)))
    assert score(result, "recall@3").value == 1
    assert np.isnan(score(result, "precision@4").value)
    assert score(result, "precision@4").reason == "a treatment has only 3 neighbours"
    assert np.isnan(score(result, "recall@10%").value)


def test_without_labels_every_score_has_a_reason() -> None:
    result = precision_recall(profiles(np.eye(3)), evaluation(ks=(5,)))
    assert {one.name for one in result.scores} == {
        "precision@5",
        "recall@5",
        "precision@1%",
        "recall@10%",
        "map",
        "map_auc",
        "average_precision",
    }
    assert {one.reason for one in result.scores} == {"no treatment has a label"}
    assert not result.tables
