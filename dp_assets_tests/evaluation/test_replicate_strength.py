"""Replicate strength against numpy, scipy and made profiles."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kstest

from dp_assets.evaluation import replicate_permutation
from dp_assets.evaluation.correlation_blocks import (
    block_medians,
    correlation_rows,
    drawn_medians,
    pair_correlations,
)
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.replicate_permutation import affordable, permutation_test, replicate_correlations
from dp_assets.evaluation.replicate_strength import replicate_strength
from dp_assets_tests.evaluation.planted_wells import planted_wells
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles, score

QUICK = evaluation(permutations=50, null_draws=200)


def test_correlations_of_sets_are_pearsons() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(12, 7)) * 100 + 1000
    units, usable = correlation_rows(features)
    sets = np.stack([rng.permutation(12)[:5] for _ in range(6)])
    found = pair_correlations(units, sets)
    expected = np.corrcoef(features)
    for members, values in zip(sets, found, strict=True):
        np.testing.assert_allclose(values, [expected[a, b] for a, b in combinations(members, 2)])
    assert usable.all()
    whole = block_medians(found, 5, diagonal=True)
    np.testing.assert_allclose(whole, [np.median(expected[np.ix_(one, one)]) for one in sets])
    np.testing.assert_allclose(block_medians(found, 5, diagonal=False), np.median(found, axis=1))


def test_constant_profiles_have_no_correlation() -> None:
    units, usable = correlation_rows(np.array([[1.0, 2, 3], [0.1, 0.1, 0.1], [0, 0, 0], [1e-9, 2e-9, 0]]))
    assert list(usable) == [True, False, False, True]
    assert not units[~usable].any()


def test_draws_are_sets_of_different_candidates() -> None:
    units, _ = correlation_rows(np.eye(8))
    assert drawn_medians(units, np.arange(8), 5, 20, (0, 1), diagonal=False) == pytest.approx(-1 / 7)
    # A well drawn twice would correlate perfectly with itself.
    values = drawn_medians(units, np.arange(2), 2, 20, (0, 1), diagonal=False)
    assert values.max() == pytest.approx(-1 / 7)
    again = drawn_medians(units, np.arange(2), 2, 20, (0, 1), diagonal=False)
    np.testing.assert_array_equal(values, again)


@pytest.mark.parametrize("compat", [False, True])
def test_replicate_correlations_and_threshold_by_hand(compat: bool) -> None:
    wells = planted_wells(treatment_effect=0.5, features=30)
    wells = wells.take(np.setdiff1d(np.arange(len(wells)), [0, 13, 25]))
    result = replicate_strength(wells, evaluation(permutations=50, null_draws=300, compat=compat))
    table = result.tables["replicates"].set_index("treatment")
    correlations = np.corrcoef(wells.features)
    for name, row in table.iterrows():
        rows = np.flatnonzero(wells.treatments == name)
        block = correlations[np.ix_(rows, rows)]
        values = block if compat else block[np.triu_indices(len(rows), k=1)]
        assert row["correlation"] == pytest.approx(np.median(values), abs=1e-6)
        assert row["wells"] == len(rows)
    null = result.tables["replicate_null"]["correlation"]
    threshold = score(result, "replicate_strength").details["threshold"]
    assert len(null) == 300
    assert (null > threshold).mean() == pytest.approx(0.05, abs=0.005)
    assert (table["above"] == (table["correlation"] > threshold)).all()
    assert score(result, "replicate_strength").value == table["above"].mean()
    assert score(result, "replicate_reproducibility").value == pytest.approx(table["correlation"].mean())


def test_planted_treatments_are_reproducible_and_shuffled_ones_are_not() -> None:
    wells = planted_wells(treatment_effect=1.0, plate_effect=0.3)
    settings = evaluation(permutations=1000)
    planted = replicate_strength(wells, settings)
    assert score(planted, "replicate_strength").value == 1
    assert score(planted, "replicate_reproducibility").details["p_value"] == pytest.approx(1 / 1001)
    assert score(planted, "replicate_significant").value == 1
    rng = np.random.default_rng(0)
    for plate in set(wells.plates):
        rows = np.flatnonzero((wells.plates == plate) & ~wells.is_control)
        wells.treatments[rows] = wells.treatments[rng.permutation(rows)]
    shuffled = replicate_strength(wells, settings)
    assert score(shuffled, "replicate_reproducibility").details["p_value"] > 0.05
    assert score(shuffled, "replicate_significant").value == 0


def test_p_values_are_uniform_without_structure() -> None:
    settings = evaluation(permutations=99, null_draws=20, bootstraps=10)
    results = [replicate_strength(planted_wells(seed=seed), settings) for seed in range(60)]
    overall = [score(result, "replicate_reproducibility").details["p_value"] for result in results]
    each = np.concatenate([result.tables["replicates"]["p_value"] for result in results])
    assert kstest(overall, "uniform").pvalue > 0.01
    assert kstest(each[::5], "uniform").pvalue > 0.01


def test_a_plate_effect_alone_does_not_make_treatments_reproducible() -> None:
    """Wells of a treatment lie on one plate: they are alike, but no more so than other wells there."""
    wells = planted_wells(plates=4, treatments=16, one_plate_each=True, plate_effect=2.0)
    result = replicate_strength(wells, evaluation(permutations=500, null_draws=200))
    assert score(result, "replicate_strength").value == 1
    found = score(result, "replicate_reproducibility")
    assert found.value > 0.5
    assert found.chance == pytest.approx(found.value, abs=0.1)
    assert found.details["p_value"] > 0.05
    assert score(result, "replicate_significant").value == 0
    assert score(result, "replicate_strength").chance == pytest.approx(1, abs=0.01)


def test_chance_of_the_fixed_null_is_what_noise_gets() -> None:
    settings = evaluation(permutations=100, bootstraps=10)
    results = [replicate_strength(planted_wells(treatments=40, seed=seed), settings) for seed in range(6)]
    strengths = [score(result, "replicate_strength") for result in results]
    chance = np.mean([found.chance for found in strengths])
    assert np.mean([found.value for found in strengths]) == pytest.approx(chance, abs=0.05)
    # Blocks of four wells vary more than the null's sets of ten.
    assert chance > 0.08


def test_shuffles_stay_on_their_plates() -> None:
    """Two plates whose wells never correlate with each other: only one arrangement per plate is possible."""
    correlations = np.eye(4) * 0 + np.array([[1, 0.5, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 0.2], [0, 0, 0.2, 1]])
    treatment, plate = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])
    observed = replicate_correlations(correlations, treatment, 2, diagonal=False)
    np.testing.assert_allclose(observed, [0.5, 0.2])
    test = permutation_test(
        correlations, treatment, plate, observed, threshold=0.3, permutations=30, seed=0, diagonal=False
    )
    assert test.p_value == 1
    assert list(test.p_values) == [1, 1]
    assert test.mean == pytest.approx(0.35)
    assert test.above == 0.5


def test_exact_p_value_of_three_arrangements() -> None:
    """Four wells in two pairs can be paired in three ways; the true one is the best."""
    correlations = np.full((4, 4), 0.1)
    correlations[0, 1] = correlations[1, 0] = correlations[2, 3] = correlations[3, 2] = 0.9
    treatment = np.array([0, 0, 1, 1])
    observed = replicate_correlations(correlations, treatment, 2, diagonal=False)
    test = permutation_test(
        correlations,
        treatment,
        np.zeros(4, int),
        observed,
        threshold=0.5,
        permutations=3000,
        seed=0,
        diagonal=False,
    )
    assert test.p_value == pytest.approx(1 / 3, abs=0.03)
    assert test.mean == pytest.approx(0.9 / 3 + 0.1 * 2 / 3, abs=0.03)


def test_says_what_was_left_out() -> None:
    wells = planted_wells()
    wells.treatments[0] = "alone"
    wells.features[1] = 3.0
    result = replicate_strength(wells, evaluation(permutations=20, exclude_from_wells=("c5",)))
    assert score(result, "replicate_strength").excluded == {
        "wells of compounds in exclude_from_wells": 8,
        "wells with one value in all features": 1,
        "treatments with one well": 1,
    }
    assert score(result, "replicate_strength").n == 10


@pytest.mark.parametrize(
    ("wells", "reason"),
    [
        (planted_wells(plates=1), "no treatment has two wells"),
        (profiles(np.eye(3)), "needs profiles of wells"),
    ],
)
def test_says_why_it_does_not_apply(wells: ProfileSet, reason: str) -> None:
    found = replicate_strength(wells, QUICK).scores
    assert [one.name for one in found] == [
        "replicate_strength",
        "replicate_reproducibility",
        "replicate_significant",
    ]
    assert all(np.isnan(one.value) and reason in one.reason for one in found)


def test_few_wells_have_p_values_without_the_fixed_null() -> None:
    wells = planted_wells(plates=2, treatments=4, treatment_effect=3.0)
    result = replicate_strength(wells, evaluation(permutations=500))
    assert "8 treated wells make no null of sets of 10" in score(result, "replicate_strength").reason
    found = score(result, "replicate_reproducibility")
    # Of 4! pairings of two plates one is the true one.
    assert found.details["p_value"] == pytest.approx(1 / 24, abs=0.03)
    assert found.value > 0.5
    assert set(result.tables) == {"replicates"}


def test_too_many_wells_are_drawn_by_whole_treatments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dp_assets.evaluation.replicate_strength._MOST_WELLS", 30)
    result = replicate_strength(planted_wells(), QUICK)
    found = score(result, "replicate_strength")
    assert found.excluded == {"wells left out by lot, above 30": 20}
    assert list(result.tables["replicates"]["wells"]) == [4] * 7


def test_many_replicates_are_shuffled_less_often_and_the_score_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert affordable(10_000, 2_700) == 10_000
    assert affordable(10_000, 100_000) == 5_000
    assert affordable(10_000, 10**7) == 1_000
    assert affordable(200, 10**7) == 200
    monkeypatch.setattr(replicate_permutation, "MOST_PAIRS", 0)
    wells = planted_wells(treatment_effect=3.0)
    found = replicate_strength(wells, evaluation(permutations=1_500))
    lines = {score.name: score.protocol for score in found.scores}
    assert "1000 shuffles" in lines["replicate_reproducibility"]
    assert found.tables["replicates"]["p_value"].min() == pytest.approx(1 / 1001)
