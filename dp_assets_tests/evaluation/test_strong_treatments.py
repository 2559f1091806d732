"""Selection of treatments that stand out from the controls."""

import numpy as np
import pytest

from dp_assets.evaluation.strong_treatments import strong_treatment_scores, strong_treatments
from dp_assets_tests.evaluation.planted_wells import planted_wells
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles


def test_components_choose_their_share_of_the_wells_furthest_from_the_median_control() -> None:
    """Two components with 90 and 10 % of the variance: of thirty wells they choose 27 and 3."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 2))
    features = np.linalg.qr(values - values.mean(axis=0))[0] * [3, 1]
    controls = np.arange(30) >= 25
    wells = profiles(features, level="well", controls=controls)
    found = strong_treatments(wells, evaluation(), np.zeros((30, 2)), minimum_wells=1)
    distance = np.abs(features - np.median(features[controls], axis=0))
    far = set(np.argsort(-distance[:, 0])[:27]) | set(np.argsort(-distance[:, 1])[:3])
    assert set(found.selected) == {f"t{row}" for row in far if row < 25}
    assert len(found.selected) < 25
    assert found.table["by_map"].sum() == 0


def test_the_map_chooses_wells_beyond_the_controls() -> None:
    wells = planted_wells(controls=10, features=400)
    coordinates = np.random.default_rng(0).normal(size=(len(wells), 2)) * 0.1
    rows = np.flatnonzero(wells.treatments == "t03")
    coordinates[rows[:3]] = 5.0
    coordinates[wells.treatments == "t07"] = np.nan
    table = strong_treatments(wells, evaluation(), coordinates).table.set_index("treatment")
    assert table.loc["t03", "by_map"] >= 3
    assert table.loc["t07", "by_map"] == 0
    distance = np.linalg.norm(coordinates - coordinates[wells.is_control].mean(axis=0), axis=1)
    limit = np.percentile(distance[wells.is_control], 95)
    for name, row in table.iterrows():
        assert row["by_map"] == (distance[wells.treatments == name] > limit).sum()
    assert (table["selected"] == (table["strong_wells"] >= 3)).all()
    assert (table["wells"] == 4).all()


def test_planted_treatments_are_selected() -> None:
    wells = planted_wells(treatments=20, controls=10, features=30)
    strong = ["t02", "t05", "t11"]
    rng = np.random.default_rng(1)
    for name in strong:
        wells.features[wells.treatments == name] += 4 * rng.normal(size=30)
    coordinates = wells.features @ np.linalg.svd(wells.features, full_matrices=False)[2][:2].T
    found = strong_treatments(wells, evaluation(), coordinates)
    assert set(strong) <= set(found.selected)
    assert not any(name.startswith("DMSO") for name in found.selected)
    without = strong_treatments(wells, evaluation(exclude_from_wells=("c1",)), coordinates)
    assert "t02" not in set(without.table["treatment"])


def test_third_criterion_is_off_unless_asked_for() -> None:
    wells = planted_wells(controls=20, features=50)
    for plate in set(wells.plates):
        rows = wells.plates == plate
        offset = 3 * np.random.default_rng(len(plate)).normal(size=50)
        wells.features[rows] += offset
        wells.features[rows & (wells.treatments == "t04")] -= 2 * offset
    places = np.zeros((len(wells), 2))
    assert strong_treatments(wells, evaluation(), places).table["by_control"].sum() == 0
    found = strong_treatments(wells, evaluation(), places, against_control=True)
    table = found.table.set_index("treatment")["by_control"]
    assert table["t04"] == 4
    assert table.drop("t04").mean() < 1
    assert "t04" in found.selected


def test_refuses_what_has_no_controls_or_no_places() -> None:
    wells = planted_wells()
    with pytest.raises(ValueError, match="two control wells"):
        strong_treatments(wells.take(~wells.is_control), evaluation(), np.zeros((48, 2)))
    with pytest.raises(ValueError, match=r"\(72, 2\)"):
        strong_treatments(wells, evaluation(), np.zeros((3, 2)))


def test_the_score_counts_what_is_selected_and_says_when_there_are_no_controls() -> None:
    wells = planted_wells(treatments=20, controls=10, features=30)
    wells.features[wells.treatments == "t02"] += 8
    places = wells.features[:, :2]
    result = strong_treatment_scores(wells, evaluation(), places)
    selected = strong_treatments(wells, evaluation(), places).selected
    assert "t02" in selected
    assert (result.scores[0].value, result.scores[0].n) == (len(selected), 20)
    assert result.tables["strong_treatments"]["selected"].sum() == len(selected)
    nowhere = strong_treatment_scores(wells, evaluation(), np.full((len(wells), 2), np.nan)).scores[0]
    assert np.isnan(nowhere.value)
    assert "control" in nowhere.reason
