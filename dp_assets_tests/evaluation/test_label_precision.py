"""Average precisions without a list of pairs are those of copairs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dp_assets.evaluation import phenotypic_consistency as consistency
from dp_assets.evaluation.label_precision import label_average_precisions
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles


def treatments(count: int, seed: int) -> ProfileSet:
    """Treatments with one to three of six labels; two doses of every compound."""
    rng = np.random.default_rng(seed)
    labels = ["|".join(sorted(set(rng.choice(list("abcdef"), rng.integers(1, 4))))) for _ in range(count)]
    return profiles(
        rng.normal(size=(count, 5)),
        level="treatment",
        treatments=[f"t{row}" for row in range(count)],
        compounds=[f"c{row // 2}" for row in range(count)],
        labels=labels,
    )


@pytest.mark.parametrize("seed", range(4))
def test_both_ways_give_the_same_scores(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = treatments(60, seed)
    protocol = evaluation(permutations=200, bootstraps=20).model_copy(update={"label_separator": "|"})
    paired = consistency.phenotypic_consistency(made, protocol)
    monkeypatch.setattr(consistency, "MOST_PAIRED", 0)
    ranked = consistency.phenotypic_consistency(made, protocol)
    for name, table in paired.tables.items():
        pd.testing.assert_frame_equal(ranked.tables[name], table, check_dtype=False, rtol=1e-5)
    for one, other in zip(paired.scores, ranked.scores, strict=True):
        assert replace(one, value=0, low=0, high=0, chance=None, details={}) == replace(
            other, value=0, low=0, high=0, chance=None, details={}
        )
        assert other.value == pytest.approx(one.value, abs=1e-6)


def test_by_hand() -> None:
    features = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.5], [0.0, 1.0]])
    sets = [frozenset("a"), frozenset("b"), frozenset("a"), frozenset("b")]
    table = label_average_precisions(features, sets, np.arange(4))
    # 0 finds b, a, b: its positive is second. 1 finds a, a, b. 2 finds b (1), a, b. 3 finds a (2), b, a.
    assert dict(zip(table["position"], table["average_precision"], strict=True)) == pytest.approx(
        {0: 1 / 2, 1: 1 / 3, 2: 1 / 2, 3: 1 / 2}
    )
    assert set(table["n_pos_pairs"]) == {1}
    assert set(table["n_total_pairs"]) == {3}


def test_equal_similarities_put_positives_first_and_lonely_rows_are_no_queries() -> None:
    features = np.ones((4, 2))
    sets = [frozenset("a"), frozenset("a"), frozenset("b"), frozenset("c")]
    table = label_average_precisions(features, sets, np.array([0, 1, 2, 3]))
    assert table["position"].tolist() == [0, 1]
    assert table["average_precision"].tolist() == [1.0, 1.0]
    same_compound = label_average_precisions(features, sets, np.array([0, 0, 2, 3]))
    assert len(same_compound) == 0
