"""Phenotypic consistency against loops over label sets, copairs and made profiles."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from copairs.map import average_precision, mean_average_precision
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from dp_assets.evaluation.phenotypic_consistency import phenotypic_consistency
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets_tests.evaluation.planted_wells import planted_wells
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles, score

QUICK = evaluation(permutations=20)


def _by_hand(treatments: ProfileSet) -> dict[tuple[int, str], float]:
    """(row, label) -> average precision."""
    similar = cosine_similarity(treatments.features)
    sets = treatments.label_sets("|")
    found = {}
    for row, own in enumerate(sets):
        negative = np.array([bool(other) and not own & other for other in sets])
        for label in own:
            positive = np.array(
                [
                    label in other and (not compound or compound != treatments.compounds[row])
                    for other, compound in zip(sets, treatments.compounds, strict=True)
                ]
            )
            positive[row] = False
            if positive.any() and negative.any():
                both = positive | negative
                found[row, label] = float(average_precision_score(positive[both], similar[row][both]))
    return found


def _random(seed: int, *, known_compounds: bool) -> ProfileSet:
    rng = np.random.default_rng(seed)
    labels = ["|".join(sorted(set(rng.choice(list("abcdef"), rng.integers(0, 3))))) for _ in range(40)]
    compounds = [f"c{one}" for one in rng.integers(0, 15, 40)] if known_compounds else [""] * 40
    return profiles(rng.normal(size=(40, 6)), labels=labels, compounds=compounds)


@pytest.mark.parametrize("known_compounds", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_a_loop_over_label_sets(seed: int, known_compounds: bool) -> None:
    treatments = _random(seed, known_compounds=known_compounds)
    result = phenotypic_consistency(treatments, QUICK)
    expected = pd.Series(_by_hand(treatments))
    per_label = expected.groupby(level=1).mean()
    table = result.tables["consistency"].set_index("label")
    assert table["mean_average_precision"].to_dict() == pytest.approx(per_label.to_dict())
    per_treatment = expected.groupby(level=0).mean()
    np.testing.assert_allclose(result.tables["consistency_treatments"]["average_precision"], per_treatment)
    found = score(result, "consistency")
    assert found.value == pytest.approx(per_treatment.mean())
    assert found.n == len(per_treatment)
    assert found.n + sum(found.excluded.values()) == 40
    assert ("compounds not known" in found.protocol) is not known_compounds


def test_compat_equals_copairs_with_one_label_each(tmp_path: Path) -> None:
    treatments = planted_wells(plates=1, treatments=48, labels=6, controls=0, label_effect=0.4)
    treatments = profiles(treatments.features, labels=treatments.labels, compounds=treatments.compounds)
    meta = pd.DataFrame({"moa": treatments.labels.astype(str), "compound": treatments.compounds.astype(str)})
    precisions = average_precision(
        meta, treatments.features, ["moa"], ["compound"], [], ["moa"], progress_bar=False
    )
    expected = mean_average_precision(
        precisions, ["moa"], 500, 0.05, 3, progress_bar=False, cache_dir=tmp_path
    )
    result = phenotypic_consistency(treatments, evaluation(permutations=500, seed=3, compat=True))
    table = result.tables["consistency"]
    assert list(table["label"]) == list(expected["moa"])
    for column in ("mean_average_precision", "p_value", "corrected_p_value"):
        np.testing.assert_allclose(table[column], expected[column], atol=1e-6)
    assert list(table["compounds"]) == [4] * 6


def test_planted_labels_are_significant_and_shuffled_ones_are_not() -> None:
    treatments = planted_wells(plates=1, treatments=60, labels=6, controls=0, label_effect=1.0)
    settings = evaluation(permutations=2000)
    planted = profiles(treatments.features, labels=treatments.labels, compounds=treatments.compounds)
    assert score(phenotypic_consistency(planted, settings), "consistency_fraction").value == 1
    shuffled = np.random.default_rng(1).permutation(treatments.labels)
    noise = phenotypic_consistency(profiles(treatments.features, labels=shuffled), settings)
    assert score(noise, "consistency_fraction").value == 0
    found = score(noise, "consistency")
    assert found.chance is not None
    assert found.low < found.chance < found.high


def test_other_doses_of_a_compound_do_not_count() -> None:
    """Each treatment has a twin of its own compound; its label mate of another compound is far away."""
    values = np.array([[1, 0, 0], [1, 0, 0.01], [0, 1, 0], [0, 1, 0.01], [0.9, 0.1, 0], [0.1, 0.9, 0]])
    labels, compounds = ["a", "a", "a", "a", "b", "b"], ["A", "A", "B", "B", "C", "D"]
    both = phenotypic_consistency(profiles(values, labels=labels, compounds=compounds), QUICK)
    unknown = phenotypic_consistency(profiles(values, labels=labels), QUICK)
    assert score(both, "consistency").value < score(unknown, "consistency").value
    treatments = both.tables["consistency_treatments"].set_index("treatment")["average_precision"]
    # Of the four that count for t0, both of the other label are nearer than its label mates.
    assert treatments["t0"] == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_says_what_was_left_out() -> None:
    rng = np.random.default_rng(0)
    labels = ["a", "a", "b", "b", "a|b|c", "", "d"]
    found = score(
        phenotypic_consistency(profiles(rng.normal(size=(7, 4)), labels=labels), QUICK), "consistency"
    )
    assert found.excluded == {"no label": 1, "no other compound has its label": 1}
    labels = ["a", "a", "b", "b", "a|b"]
    result = phenotypic_consistency(profiles(rng.normal(size=(5, 4)), labels=labels), QUICK)
    found = score(result, "consistency")
    assert found.excluded == {"shares a label with every other treatment": 1}
    assert found.n == 4
    labels = ["a", "a", "b", "c"]
    result = phenotypic_consistency(profiles(rng.normal(size=(4, 4)), labels=labels), QUICK)
    assert score(result, "consistency_fraction").excluded == {"labels of one compound only": 2}


@pytest.mark.parametrize(
    ("treatments", "reason"),
    [
        (profiles(np.eye(4), labels=[""] * 4), "no treatment has a label"),
        (profiles(np.eye(4), labels=list("aaaa")), "no label is shared"),
        (profiles(np.eye(4), labels=list("abcd")), "no label is shared"),
        (profiles(np.eye(4), labels=list("aabb"), compounds=list("AABB")), "no label is shared"),
        (profiles(np.eye(2), level="well"), "needs profiles of treatments"),
    ],
)
def test_says_why_it_does_not_apply(treatments: ProfileSet, reason: str) -> None:
    for found in phenotypic_consistency(treatments, QUICK).scores:
        assert np.isnan(found.value)
        assert reason in found.reason
