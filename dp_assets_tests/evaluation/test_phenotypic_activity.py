"""Phenotypic activity against scikit-learn, copairs and made profiles."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from copairs.map import average_precision, mean_average_precision
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from dp_assets.evaluation.phenotypic_activity import phenotypic_activity
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets_tests.evaluation.planted_wells import planted_wells
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles, score


def _by_hand(wells: ProfileSet, same_plate: bool) -> dict[str, float]:
    """mAP of every treatment with several wells, by a loop over wells and scikit-learn."""
    similar = cosine_similarity(wells.features)
    found: dict[str, list[float]] = {}
    for row in np.flatnonzero(~wells.is_control):
        positive = (wells.treatments == wells.treatments[row]) & ~wells.is_control
        positive[row] = False
        negative = wells.is_control & ((wells.plates == wells.plates[row]) | (not same_plate))
        if positive.any():
            both = positive | negative
            value = average_precision_score(positive[both], similar[row][both])
            found.setdefault(wells.treatments[row], []).append(float(value))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _mean_average_precisions(wells: ProfileSet, **settings: object) -> dict[str, float]:
    table = phenotypic_activity(wells, evaluation(permutations=20, **settings)).tables["activity"]
    return dict(zip(table["treatment"], table["mean_average_precision"], strict=True))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_scikit_learn_with_controls_of_the_same_plate(seed: int) -> None:
    wells = planted_wells(treatment_effect=0.3, plate_effect=0.5, seed=seed)
    found = _mean_average_precisions(wells)
    assert found == pytest.approx(_by_hand(wells, same_plate=True))
    assert len(found) == 12


def test_takes_all_controls_where_a_plate_has_too_few() -> None:
    wells = planted_wells(treatment_effect=0.3, plate_effect=0.5)
    spare = np.flatnonzero(wells.is_control & (wells.plates == "P2"))[1:]
    wells = wells.take(np.setdiff1d(np.arange(len(wells)), spare))
    result = phenotypic_activity(wells, evaluation(permutations=20))
    found = _mean_average_precisions(wells)
    assert found == pytest.approx(_by_hand(wells, same_plate=False))
    assert found != pytest.approx(_by_hand(wells, same_plate=True))
    assert "controls of all plates" in score(result, "activity").protocol


def test_one_plate_is_enough() -> None:
    wells = planted_wells(plates=4, treatments=8, one_plate_each=True, controls=3, treatment_effect=1.0)
    wells = wells.take(wells.plates == "P1")
    assert _mean_average_precisions(wells) == pytest.approx(_by_hand(wells, same_plate=True))


def test_compat_equals_copairs(tmp_path: Path) -> None:
    wells = planted_wells(treatments=30, treatment_effect=0.8)
    meta = pd.DataFrame(
        {
            "Metadata_Treatment": wells.treatments.astype(str),
            "Metadata_Plate": wells.plates.astype(str),
            "Metadata_reference_index": np.where(wells.is_control, np.arange(len(wells)), -1),
        }
    )
    keys = ["Metadata_Treatment", "Metadata_reference_index"]
    precisions = average_precision(
        meta, wells.features, keys, [], ["Metadata_Plate"], keys, progress_bar=False
    )
    expected = mean_average_precision(
        precisions, ["Metadata_Treatment"], 500, 0.05, 7, progress_bar=False, cache_dir=tmp_path
    )
    table = phenotypic_activity(wells, evaluation(permutations=500, seed=7, compat=True)).tables["activity"]
    assert list(table["treatment"]) == list(expected["Metadata_Treatment"])
    for ours, theirs in {
        "mean_average_precision": "mean_average_precision",
        "normalized_mean_average_precision": "mean_normalized_average_precision",
        "p_value": "p_value",
        "corrected_p_value": "corrected_p_value",
    }.items():
        np.testing.assert_allclose(table[ours], expected[theirs], atol=1e-6)
    assert 0 < table["significant"].sum() < 30


def test_planted_treatments_are_active_and_noise_is_not() -> None:
    settings = evaluation(permutations=2000)
    strong = phenotypic_activity(planted_wells(treatment_effect=2.0), settings)
    assert score(strong, "activity_fraction").value == 1
    assert score(strong, "activity").value > 0.99
    noise = phenotypic_activity(planted_wells(treatments=40), settings)
    assert score(noise, "activity_fraction").value < 0.05
    found = score(noise, "activity")
    assert found.chance is not None
    assert found.low < found.chance < found.high
    assert found.n == 40


def test_a_perfect_ranking_that_is_likely_by_chance_is_not_significant() -> None:
    """Two wells and two controls per plate: one of three random wells ranks its partner first."""
    wells = planted_wells(plates=2, treatments=200, controls=2)
    table = phenotypic_activity(wells, evaluation(permutations=2000)).tables["activity"]
    perfect = table["mean_average_precision"] > 0.999
    assert perfect.sum() > 10
    assert table.loc[perfect, "p_value"].to_numpy() == pytest.approx(1 / 3, abs=0.05)
    result = phenotypic_activity(wells, evaluation(permutations=2000, compat=True))
    assert result.tables["activity"].loc[perfect, "p_value"].max() < 0.001
    details = score(result, "activity_fraction").details
    assert details["lowest_p_value_possible"] == pytest.approx(1 / 3)


def test_chance_is_what_noise_gets() -> None:
    values = [score(_noise(seed), "activity").value for seed in range(8)]
    assert np.mean(values) == pytest.approx(score(_noise(0), "activity").chance, abs=0.02)


def _noise(seed: int) -> object:
    wells = planted_wells(treatments=30, seed=seed, controls=4)
    return phenotypic_activity(wells, evaluation(permutations=10))


def test_says_what_was_left_out() -> None:
    wells = planted_wells()
    treatments = wells.treatments.copy()
    treatments[0], treatments[1] = "alone", ""
    wells.treatments[:] = treatments
    result = phenotypic_activity(wells, evaluation(permutations=20, exclude_from_wells=("C5",)))
    found = score(result, "activity")
    assert found.excluded == {
        "wells without a treatment": 1,
        "wells of compounds in exclude_from_wells": 8,
        "treatments with one well": 1,
    }
    assert found.n == 10
    assert set(result.tables["activity"]["treatment"]) == {f"t{one:02d}" for one in range(10)}
    assert result.tables["activity"]["wells"].sum() == 38


@pytest.mark.parametrize(
    ("wells", "reason"),
    [
        (planted_wells(controls=0), "two control wells"),
        (planted_wells(plates=1), "no treatment has two wells"),
        (profiles(np.eye(3)), "needs profiles of wells"),
    ],
)
def test_says_why_it_does_not_apply(wells: ProfileSet, reason: str) -> None:
    for found in phenotypic_activity(wells, evaluation()).scores:
        assert np.isnan(found.value)
        assert reason in found.reason


def test_profiles_of_zeros_are_like_nothing() -> None:
    wells = planted_wells(treatment_effect=2.0)
    wells.features[0] = 0
    table = phenotypic_activity(wells, evaluation(permutations=20)).tables["activity"]
    assert np.isfinite(table["mean_average_precision"]).all()
    assert table["mean_average_precision"].idxmin() == 0


def test_leaves_nothing_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    phenotypic_activity(planted_wells(), evaluation(permutations=20))
    assert list(tmp_path.iterdir()) == []
