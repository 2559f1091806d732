"""Measures of ranked lists against scikit-learn and known answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from dp_assets.evaluation.ranking import (
    ndcg,
    precision_to_last_hit,
    r_precision,
    ranking_scores,
    reciprocal_rank,
)
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles, score


@given(st.lists(st.booleans(), min_size=2, max_size=30).filter(any))
@settings(max_examples=60, deadline=None)
def test_ndcg_is_that_of_scikit_learn(relevant: list[bool]) -> None:
    falling = np.arange(len(relevant), 0, -1)
    expected = ndcg_score([np.array(relevant, float)], [falling])
    assert ndcg(np.array(relevant)) == pytest.approx(expected)


def test_known_lists() -> None:
    relevant = np.array([False, True, True, False, False, True])
    assert reciprocal_rank(relevant) == 1 / 2
    assert r_precision(relevant) == 2 / 3
    assert precision_to_last_hit(relevant) == 3 / 6
    # Ranks 2, 3 and 6 by 1 / log2(rank), held against ranks 1, 2 and 3.
    gains = 1 + 1 / np.log2(3) + 1 / np.log2(6)
    assert ndcg(relevant, "from_rank_two") == pytest.approx(gains / (2 + 1 / np.log2(3)))


def test_lists_without_relevant_ones_and_perfect_lists() -> None:
    nothing, perfect = np.zeros(4, bool), np.array([True, True, False, False])
    for measure in (reciprocal_rank, r_precision, precision_to_last_hit, ndcg):
        assert measure(nothing) == 0
        assert measure(perfect) == pytest.approx(1)
    assert ndcg(perfect, "from_rank_two") == pytest.approx(1)


def test_scores_are_means_over_queries() -> None:
    # Angles: 0 and 30 share a, 10 and 90 share b, 60 is alone.
    angles = np.deg2rad([0, 30, 10, 90, 60])
    table = profiles(np.stack([np.cos(angles), np.sin(angles)], axis=1), labels=["a", "a", "b", "b", "c"])
    result = ranking_scores(table, evaluation())
    # 0: 10, 30; 30: 10, then 0 and 60 equally near, in the order of rows; 10: 0, 30, 60, 90; 90: 60, 30, 10.
    expected = [1 / 2, 1 / 2, 1 / 4, 1 / 3]
    np.testing.assert_allclose(result.tables["ranking"]["mrr"], expected)
    mean = score(result, "mrr")
    assert mean.value == pytest.approx(np.mean(expected))
    assert mean.n == 4
    assert mean.excluded == {"no other treatment shares a label": 1}
    assert score(result, "r_precision").value == 0
    assert score(result, "precision_to_last_hit").value == pytest.approx(np.mean(expected))
    log = np.mean([1 / np.log2(1 / reciprocal + 1) for reciprocal in expected])
    assert score(result, "ndcg").value == pytest.approx(log)


def test_chance_is_what_random_profiles_get() -> None:
    rng = np.random.default_rng(1)
    labels = [f"l{i % 40}" for i in range(400)]
    result = ranking_scores(profiles(rng.normal(size=(400, 30)), labels=labels), evaluation(bootstraps=500))
    for name in ("mrr", "r_precision", "ndcg", "ndcg_from_rank_two"):
        found = score(result, name)
        error = (found.high - found.low) / 4
        assert abs(found.value - found.chance) < 4 * error, name


def test_without_labels_it_does_not_apply() -> None:
    result = ranking_scores(profiles(np.eye(3)), evaluation())
    assert len(result.scores) == 5
    assert all(one.reason == "no treatment has a label" for one in result.scores)
