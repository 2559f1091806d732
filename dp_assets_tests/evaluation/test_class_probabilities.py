"""Accuracy of class probabilities against scikit-learn and hand-made cells."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix

from dp_assets.evaluation.class_probabilities import ClassProbabilityScores, looks_like_probabilities
from dp_assets.evaluation.score import ScoreResult
from dp_assets_tests.evaluation.profile_sets import evaluation, score

CLASSES = ("a", "b", "c")
PROTOCOL = evaluation()


def _cells(seed: int, wells: int = 12, sites: int = 2, cells: int = 15) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    well = np.repeat(np.arange(wells), sites * cells)
    site = np.tile(np.repeat(np.arange(sites), cells), wells)
    label = well % 3
    scores = rng.normal(size=(len(well), 3)) + 0.7 * np.eye(3)[label] + rng.normal(size=(wells, 3))[well]
    values = np.exp(scores)
    return {
        "wells": np.array([f"W{one}" for one in well], object),
        "sites": np.array([str(one) for one in site], object),
        "probabilities": (values / values.sum(axis=1, keepdims=True)).astype(np.float32),
        "labels": np.array([CLASSES[one] for one in label], object),
    }


def _scored(cells: dict[str, np.ndarray], cuts: list[int] | None = None) -> ScoreResult:
    scores = ClassProbabilityScores(CLASSES)
    edges = [0, *sorted(cuts or []), len(cells["labels"])]
    for start, stop in pairwise(edges):
        scores.add("P1", **{name: values[start:stop] for name, values in cells.items()})
    return scores.result(PROTOCOL)


def _by_hand(cells: dict[str, np.ndarray], keys: list[str]) -> tuple[list[str], list[str]]:
    """True and predicted class of every group."""
    groups: dict[tuple, list[int]] = {}
    for row in range(len(cells["labels"])):
        groups.setdefault(tuple(cells[key][row] for key in keys), []).append(row)
    true = [cells["labels"][rows[0]] for rows in groups.values()]
    means = [cells["probabilities"][rows].astype(float).mean(axis=0) for rows in groups.values()]
    return true, [CLASSES[int(mean.argmax())] for mean in means]


@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn_on_every_level(seed: int) -> None:
    cells = _cells(seed)
    result = _scored(cells)
    predicted = [CLASSES[one] for one in cells["probabilities"].argmax(axis=1)]
    levels = {
        "cells": (list(cells["labels"]), predicted),
        "sites": _by_hand(cells, ["wells", "sites"]),
        "wells": _by_hand(cells, ["wells"]),
    }
    for level, (true, found) in levels.items():
        one = score(result, f"accuracy_{level}")
        assert one.value == pytest.approx(accuracy_score(true, found))
        assert one.n == len(true)
        assert one.low <= one.value <= one.high
        assert one.chance == pytest.approx(1 / 3)
        confusion = result.tables[f"confusion_{level}"]
        assert list(confusion["true_class"]) == list(CLASSES)
        expected = confusion_matrix(true, found, labels=CLASSES, normalize="true")
        np.testing.assert_allclose(confusion[list(CLASSES)], expected)
        report = classification_report(true, found, labels=CLASSES, output_dict=True, zero_division=0)
        for row in result.tables[f"classes_{level}"].to_dict("records"):
            theirs = report[row["class"]]
            assert row["precision"] == pytest.approx(theirs["precision"])
            assert row["recall"] == pytest.approx(theirs["recall"])
            assert row["f1"] == pytest.approx(theirs["f1-score"])
            assert row["support"] == theirs["support"]


def test_means_of_sites_and_wells_decide_and_not_votes() -> None:
    """Two cells that are hardly wrong, one that is very right."""
    cells = {
        "wells": np.array(["W"] * 3, object),
        "sites": np.array(["1", "1", "2"], object),
        "probabilities": np.array([[0.4, 0.6, 0], [0.4, 0.6, 0], [1, 0, 0]]),
        "labels": np.array(["a"] * 3, object),
    }
    result = _scored(cells)
    assert score(result, "accuracy_cells").value == pytest.approx(1 / 3)
    assert score(result, "accuracy_sites").value == 0.5
    assert score(result, "accuracy_wells").value == 1
    confusion = result.tables["confusion_cells"].set_index("true_class")
    assert confusion.loc["a"].tolist() == pytest.approx([1 / 3, 2 / 3, 0])
    assert np.isnan(confusion.loc["b"]).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 360), max_size=6))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    cells = _cells(0)
    whole, pieces = _scored(cells), _scored(cells, cuts)
    assert [one.value for one in whole.scores] == [one.value for one in pieces.scores]
    for name, table in whole.tables.items():
        np.testing.assert_array_equal(table.iloc[:, 1:], pieces.tables[name].iloc[:, 1:])


def test_wells_of_other_plates_are_other_wells() -> None:
    scores = ClassProbabilityScores(CLASSES)
    right, wrong = np.array([[0.9, 0.1, 0]]), np.array([[0.0, 0.1, 0.9]])
    for plate, values in {"P1": right, "P2": wrong}.items():
        scores.add(plate, np.array(["W"]), np.array(["1"]), values, np.array(["a"]))
    result = scores.result(PROTOCOL)
    assert score(result, "accuracy_wells").n == 2
    assert score(result, "accuracy_wells").value == 0.5


def test_says_what_was_left_out() -> None:
    cells = _cells(1)
    cells["probabilities"][3] = np.nan
    cells["labels"][30:60] = ""
    cells["labels"][60:62] = "unknown"
    cells["labels"][95] = "b"
    assert cells["labels"][94] == "a"
    result = _scored(cells)
    left_out = {
        "cells with probabilities that are not finite": 1,
        "cells without a label": 30,
        "cells whose label is not a class of the model": 2,
    }
    assert score(result, "accuracy_cells").excluded == left_out
    assert score(result, "accuracy_cells").n == 360 - 33
    several = {**left_out, "wells with cells of several labels": 1}
    assert score(result, "accuracy_wells").excluded == several
    assert score(result, "accuracy_wells").n == 10
    assert score(result, "accuracy_sites").n == 20


def test_says_why_it_does_not_apply() -> None:
    cells = _cells(0)
    cells["labels"][:] = "unknown"
    result = _scored(cells)
    assert [one.name for one in result.scores] == ["accuracy_cells", "accuracy_sites", "accuracy_wells"]
    assert all(np.isnan(one.value) for one in result.scores)
    assert "cells whose label is not a class of the model: 360" in result.scores[0].reason


def test_refuses_other_shapes_and_classes() -> None:
    with pytest.raises(ValueError, match="Expected 3 probabilities"):
        ClassProbabilityScores(CLASSES).add("P", np.array(["W"]), np.array(["1"]), np.eye(2), np.array(["a"]))
    with pytest.raises(ValueError, match="different classes"):
        ClassProbabilityScores(["a", "a"])


def test_what_looks_like_probabilities() -> None:
    values = _cells(0)["probabilities"]
    assert looks_like_probabilities(values)
    assert looks_like_probabilities(np.concatenate([values, np.full((1, 3), np.nan)]))
    assert looks_like_probabilities(values * 1.0005)
    assert not looks_like_probabilities(values * 1.01)
    assert not looks_like_probabilities(np.array([[1.5, -0.5]]))
    assert not looks_like_probabilities(np.ones((4, 1)))
    assert not looks_like_probabilities(np.empty((0, 3)))
    assert not looks_like_probabilities(np.random.default_rng(0).normal(size=(5, 3)))
