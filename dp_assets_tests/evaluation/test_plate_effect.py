"""The plate effect of controls on made plates."""

import numpy as np
import pytest

from dp_assets.evaluation.plate_effect import plate_effect
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets_tests.evaluation.planted_wells import planted_wells
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles, score

SETTINGS = evaluation(null_draws=1000)


def test_plates_that_leave_a_mark_are_found_and_others_are_not() -> None:
    marked = plate_effect(planted_wells(controls=20, plate_effect=1.0), SETTINGS)
    found = score(marked, "plate_effect")
    assert found.value == 1
    assert not found.higher_is_better
    assert (found.n, found.unit) == (4, "plates")
    plain = [
        plate_effect(planted_wells(controls=20, seed=seed), SETTINGS).scores[0].value for seed in range(10)
    ]
    assert np.mean(plain) == pytest.approx(0.05, abs=0.06)


def test_one_marked_plate_of_four() -> None:
    wells = planted_wells(controls=30)
    wells.features[wells.plates == "P2"] += 3 * np.random.default_rng(5).normal(size=20)
    table = plate_effect(wells, SETTINGS).tables["plate_effect"].set_index("plate")
    assert table.loc["P2", "fraction_above"] == 1
    assert table["fraction_above"].drop("P2").max() < 0.5
    assert list(table["controls"]) == [30] * 4


@pytest.mark.parametrize("compat", [False, True])
def test_a_plate_with_few_controls_is_one_set(compat: bool) -> None:
    wells = planted_wells(controls=5)
    result = plate_effect(wells, evaluation(null_draws=50, compat=compat))
    correlations = np.corrcoef(wells.features)
    for _, row in result.tables["plate_effect"].iterrows():
        members = np.flatnonzero(wells.is_control & (wells.plates == row["plate"]))
        block = correlations[np.ix_(members, members)]
        expected = np.median(block) if compat else np.median(block[np.triu_indices(5, k=1)])
        assert row["correlation"] == pytest.approx(expected)
        assert row["fraction_above"] == float(expected > row["threshold"])


def test_null_sets_are_as_large_as_those_of_the_plate_unless_compat() -> None:
    """Four controls of many plates without effect: against sets of ten, small sets seem to stand out."""
    wells = planted_wells(plates=60, treatments=1, controls=4)
    fair = score(plate_effect(wells, SETTINGS), "plate_effect").value
    assert fair < 0.12
    # The diagonal that compat includes lifts small blocks as well.
    assert score(plate_effect(wells, evaluation(compat=True)), "plate_effect").value > 0.3


def test_says_what_was_left_out() -> None:
    wells = planted_wells(plates=5, controls=5)
    gone = np.flatnonzero(wells.is_control & (wells.plates == "P1"))[2:]
    gone = np.concatenate([gone, np.flatnonzero(wells.is_control & (wells.plates == "P3"))])
    wells.features[np.flatnonzero(wells.is_control & (wells.plates == "P0"))[0]] = 1.0
    result = plate_effect(wells.take(np.setdiff1d(np.arange(len(wells)), gone)), SETTINGS)
    found = score(result, "plate_effect")
    assert found.n == 3
    assert found.excluded == {
        "plates with fewer than 3 control wells": 2,
        "wells with one value in all features": 1,
    }
    assert dict(result.tables["plate_effect"][["plate", "controls"]].to_numpy()) == {
        "P0": 4,
        "P2": 5,
        "P4": 5,
    }


@pytest.mark.parametrize(
    ("wells", "reason"),
    [
        (planted_wells(plates=1), "control wells: 1; two"),
        (planted_wells(controls=2), "control wells: 0; two"),
        (profiles(np.eye(3)), "needs profiles of wells"),
    ],
)
def test_says_why_it_does_not_apply(wells: ProfileSet, reason: str) -> None:
    (found,) = plate_effect(wells, SETTINGS).scores
    assert np.isnan(found.value)
    assert reason in found.reason
