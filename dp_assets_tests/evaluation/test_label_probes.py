"""Label probes on made wells, and against scikit-learn."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from dp_assets.evaluation.label_probes import label_probes
from dp_assets.evaluation.probe_classifiers import MOST_CLASSES
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.score import Score
from dp_assets_tests.evaluation.planted_wells import planted_wells
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles, score

PROTOCOL = evaluation()
PROBES = ("forest", "logistic", "knn")


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dp_assets.evaluation.probe_classifiers._TREES", 25)


def _scores(wells: ProfileSet, ending: str = "", **settings: object) -> list[Score]:
    result = label_probes(wells, evaluation(**settings))
    return [score(result, f"probe_{probe}{ending}") for probe in PROBES]


def test_planted_labels_are_found_also_on_other_compounds() -> None:
    wells = planted_wells(treatments=24, label_effect=1.5, plate_effect=0.3)
    result = label_probes(wells, PROTOCOL)
    assert len(result.scores) == 6
    for found in result.scores:
        assert found.value > 0.9
        assert found.n == 96
        assert found.low <= found.value <= found.high
        assert found.chance == pytest.approx(1 / 3)
    assert score(result, "probe_knn").details["folds"] == 4
    assert score(result, "probe_knn_compounds").details["folds"] > 4
    table = result.tables["probe_classes"]
    assert list(table["class"]) == ["m0", "m1", "m2"]
    assert list(table["wells"]) == [32] * 3
    assert list(table["treatments"]) == [8] * 3
    assert table["recall_knn"].mean() == pytest.approx(score(result, "probe_knn").value)


def test_shuffled_labels_are_not_found() -> None:
    """Labels dealt out anew to compounds: their wells are alike, so only held out compounds tell."""
    wells = planted_wells(treatments=48, treatment_effect=1.0, label_effect=1.0, seed=3)
    rng = np.random.default_rng(0)
    compounds = np.unique(wells.compounds[~wells.is_control].astype(str))
    dealt = dict(zip(compounds, rng.permutation(np.arange(len(compounds)) % 3), strict=True))
    labels = [f"m{dealt[one]}" if one in dealt else "" for one in wells.compounds]
    result = label_probes(dataclasses.replace(wells, labels=np.array(labels, object)), PROTOCOL)
    for probe in PROBES:
        found = score(result, f"probe_{probe}_compounds")
        assert found.chance is not None
        assert found.low < found.chance < found.high
        assert score(result, f"probe_{probe}").value > found.value


def test_a_plate_that_gives_the_label_away_does_not_help() -> None:
    """Labels go with plates, and only the plate's own offset tells them: held out plates are a riddle."""
    rng = np.random.default_rng(2)
    plate = np.repeat(np.arange(40), 4)
    values = rng.normal(size=(160, 15)) * 0.1 + 2 * rng.normal(size=(40, 15))[plate]
    wells = profiles(
        values,
        level="well",
        treatments=[f"t{row % 7}" for row in range(160)],
        labels=[f"m{one % 2}" for one in plate],
        plates=[f"P{one}" for one in plate],
        wells=[f"W{row}" for row in range(160)],
    )
    for found in _scores(wells):
        assert found.value < 0.7
    leaking = KNeighborsClassifier(1, metric="cosine")
    labels = wells.labels.astype(str)
    # With wells of the same plates on both sides it would seem to be easy.
    assert leaking.fit(values[::2], labels[::2]).score(values[1::2], labels[1::2]) > 0.9


def test_nearest_neighbours_equal_scikit_learn() -> None:
    wells = planted_wells(label_effect=0.4, treatment_effect=0.3)
    treated = wells.take(~wells.is_control)
    labels = treated.labels.astype(str)
    predicted = cross_val_predict(
        KNeighborsClassifier(5, metric="cosine"),
        treated.features,
        labels,
        groups=treated.plates.astype(str),
        cv=LeaveOneGroupOut(),
    )
    (_, _, found) = _scores(wells)
    assert found.value == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found.details["accuracy"] == pytest.approx((labels == predicted).mean())
    assert 0.4 < found.value < 0.95


def test_without_labels_treatments_are_told_apart() -> None:
    wells = planted_wells(treatment_effect=2.0)
    wells.labels[:] = ""
    result = label_probes(wells, PROTOCOL)
    found = score(result, "probe_logistic")
    assert found.protocol.startswith("treatment of a well")
    assert found.value > 0.95
    assert found.chance == pytest.approx(1 / 12)
    assert "no labels" in score(result, "probe_logistic_compounds").reason


def test_one_plate_holds_wells_apart_and_says_so() -> None:
    wells = planted_wells(plates=1, treatments=40, labels=2, label_effect=2.0)
    result = label_probes(wells, PROTOCOL)
    for probe in PROBES:
        assert "cannot be held apart" in score(result, f"probe_{probe}").reason
        found = score(result, f"probe_{probe}_wells")
        assert found.value > 0.9
        assert "one plate" in found.protocol
        assert "fewer than two plates" in score(result, f"probe_{probe}_compounds").reason
    assert set(result.tables) == {"probe_classes_wells"}


def test_says_what_was_left_out() -> None:
    wells = planted_wells(label_effect=1.0)
    wells.labels[0] = "m0|m1"
    wells.labels[1] = ""
    wells.labels[2] = "rare"
    wells.compounds[5] = ""
    result = label_probes(wells, evaluation(exclude_from_wells=("C5",)))
    plain = {
        "wells of compounds in exclude_from_wells": 8,
        "wells with several labels": 1,
        "wells without a label": 1,
        "wells whose label is on one plate only": 1,
    }
    assert score(result, "probe_knn").excluded == plain
    assert score(result, "probe_knn").n == 37
    held_out = {**plain, "wells without a compound": 1, "wells whose label has one compound": 8}
    del held_out["wells whose label is on one plate only"]
    assert score(result, "probe_knn_compounds").excluded == held_out


@pytest.mark.parametrize(
    ("wells", "reason"),
    [
        (profiles(np.eye(3)), "needs profiles of wells"),
        (planted_wells(labels=1), "needs two labels"),
        (planted_wells().take(np.zeros(72, bool)), "one plate"),
    ],
)
def test_says_why_it_does_not_apply(wells: ProfileSet, reason: str) -> None:
    found = label_probes(wells, PROTOCOL).scores
    assert {one.name for one in found} >= {"probe_forest", "probe_logistic", "probe_knn"}
    assert all(np.isnan(one.value) and one.reason for one in found)
    assert reason in found[0].reason


def test_too_many_classes_for_a_forest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MOST_CLASSES, "forest", 2)
    forest, logistic, _ = _scores(planted_wells(label_effect=1.0))
    assert "3 classes" in forest.reason
    assert np.isfinite(logistic.value)


def test_the_same_seed_gives_the_same_scores() -> None:
    wells = planted_wells(label_effect=0.5)
    assert label_probes(wells, PROTOCOL).scores == label_probes(wells, PROTOCOL).scores


def test_of_very_many_wells_some_are_drawn_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    wells = planted_wells(treatments=12, label_effect=3.0)
    monkeypatch.setattr("dp_assets.evaluation.label_probes.MOST_WELLS", 30)
    found = _scores(wells, probe_folds=2)[-1]
    treated = int((~wells.is_control).sum())
    assert found.n <= 30
    assert found.excluded["wells not drawn (more than 30)"] == treated - 30
    assert found.n + sum(found.excluded.values()) == treated
