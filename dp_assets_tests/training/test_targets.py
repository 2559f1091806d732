"""Targets of batches against plain loops."""

import numpy as np

from dp_assets.training.cells import LabelledCells
from dp_assets.training.targets import Goal, targets_of
from dp_assets_tests.training.synthetic import ArrayCrops

CROPS = np.random.default_rng(0).random((6, 4, 4, 1), np.float32)
LABELS = np.array([[0, 2], [1, 0], [1, 1], [0, 3], [1, 2], [0, 0]])
HEADS = (("Gene", ("a", "b")), ("Dose", ("0", "1", "2", "3")))
ROWS = np.array([4, 0, 0, 3])


def cells(labels: np.ndarray) -> LabelledCells:
    return LabelledCells(ArrayCrops(CROPS), labels)


def one_hot(labels: list[int], classes: int) -> list[list[float]]:
    return [[float(label == c) for c in range(classes)] for label in labels]


def test_one_head_gets_an_array() -> None:
    target = targets_of(cells(LABELS[:, 1]), HEADS[1:], Goal.CLASSES).of(ROWS, CROPS[ROWS])
    assert isinstance(target, np.ndarray)
    assert target.dtype == np.float32
    assert target.tolist() == one_hot([2, 2, 2, 3], 4)


def test_every_head_gets_its_own_labels() -> None:
    target = targets_of(cells(LABELS), HEADS, Goal.CLASSES).of(ROWS, CROPS[ROWS])
    assert isinstance(target, tuple)
    assert [part.tolist() for part in target] == [one_hot([1, 0, 0, 0], 2), one_hot([2, 2, 2, 3], 4)]


def test_online_labels_come_in_pairs_with_the_hard_ones() -> None:
    soft = np.random.default_rng(1).random((6, 2), np.float32)
    whole = cells(LABELS[:, 0])
    hard, learnt = targets_of(whole, HEADS[:1], Goal.ONLINE_LABELS, soft).of(ROWS, CROPS[ROWS])
    assert hard.tolist() == one_hot([1, 0, 0, 0], 2)
    np.testing.assert_array_equal(learnt, soft[ROWS])
    soft[4] = [0.25, 0.75]
    np.testing.assert_array_equal(
        targets_of(whole, HEADS[:1], Goal.ONLINE_LABELS, soft).of(ROWS, CROPS[ROWS])[1][0], [0.25, 0.75]
    )
    judged = targets_of(whole, HEADS[:1], Goal.ONLINE_LABELS).of(ROWS, CROPS[ROWS])
    np.testing.assert_array_equal(judged[0], judged[1])


def test_reconstruction_is_asked_for_the_crops_of_the_batch() -> None:
    changed = CROPS[ROWS] + 1
    assert targets_of(cells(LABELS), HEADS[:1], Goal.RECONSTRUCTION).of(ROWS, changed) is changed
