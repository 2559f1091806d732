"""Requests that cannot be met are refused before anything is built."""

import numpy as np
import pytest

from dp_assets.config.errors import ModelError, TrainingDataError
from dp_assets.config.sections import LocationsSettings
from dp_assets.training.cells import LabelledCells
from dp_assets.training.request_checks import check_classes, check_request, goal_of
from dp_assets.training.targets import Goal
from dp_assets_tests.training.synthetic import (
    BOX,
    CHANNELS,
    CLASSES,
    HEADS,
    ArrayCrops,
    labelled_cells,
    training_settings,
)

CELLS = labelled_cells()
TWO_HEADS = (*HEADS, ("Dose", ("low", "high")))
ONLINE = training_settings(crop_generator="online_labels_crop_generator")
NO_CELLS = LabelledCells(ArrayCrops(np.zeros((0, BOX, BOX, CHANNELS), np.float32)), np.zeros(0, np.int64))


def test_goals() -> None:
    assert goal_of(training_settings(), reconstructs=False) is Goal.CLASSES
    assert goal_of(ONLINE, reconstructs=False) is Goal.ONLINE_LABELS
    assert goal_of(training_settings(), reconstructs=True) is Goal.RECONSTRUCTION


def test_classes_without_cells_are_named() -> None:
    with pytest.raises(TrainingDataError, match="1 of 3 classes have no training cell: 'left'"):
        check_classes(labelled_cells((5, 0, 5)).labels, CLASSES, "Treatment")


def test_one_class_is_not_enough() -> None:
    with pytest.raises(TrainingDataError, match=r"'Dose'.*one class only \('DMSO'\)"):
        check_classes(np.zeros(3, np.int64), ("DMSO",), "Dose")


def test_every_head_needs_cells_of_all_its_classes() -> None:
    labels = np.stack([CELLS.labels, np.zeros(len(CELLS), np.int64)], axis=1)
    cells = LabelledCells(CELLS.crops, labels)
    with pytest.raises(TrainingDataError, match=r"'Dose'.*1 of 2 classes have no training cell: 'high'"):
        check_request(training_settings(), TWO_HEADS, Goal.CLASSES, cells, None)


def test_an_epoch_of_random_views_may_lack_a_class_of_a_further_head() -> None:
    labels = np.stack([CELLS.labels, np.zeros(len(CELLS), np.int64)], axis=1)
    views = LabelledCells(CELLS.crops, labels, renew=lambda _: views)
    check_request(training_settings(), TWO_HEADS, Goal.CLASSES, views, None)
    labels[labels == 1] = 0
    with pytest.raises(TrainingDataError, match=r"'Treatment'.*no training cell: 'left'"):
        check_request(training_settings(), TWO_HEADS, Goal.CLASSES, views, None)


def test_a_label_for_every_head() -> None:
    with pytest.raises(ValueError, match=r"labels of 2 heads\. Received 1"):
        check_request(training_settings(), TWO_HEADS, Goal.CLASSES, CELLS, None)


@pytest.mark.parametrize("goal", Goal)
def test_no_cells_at_all(goal: Goal) -> None:
    with pytest.raises(TrainingDataError, match="no cells to train on"):
        check_request(training_settings(), HEADS, goal, NO_CELLS, None)


def test_reconstruction_asks_nothing_of_classes() -> None:
    one_class = LabelledCells(CELLS.crops, np.zeros(len(CELLS), np.int64))
    check_request(training_settings(), (("Any", ("x",)),), Goal.RECONSTRUCTION, one_class, None)


def test_best_and_plateau_need_validation_cells() -> None:
    wanted = training_settings(checkpoint_policy="best", lr_schedule="plateau")
    with pytest.raises(TrainingDataError) as caught:
        check_request(wanted, HEADS, Goal.CLASSES, CELLS, None)
    assert [problem.where for problem in caught.value.problems] == [
        "train.model.checkpoint_policy",
        "train.model.lr_schedule",
    ]
    check_request(wanted, HEADS, Goal.CLASSES, CELLS, CELLS)


def test_online_labels_are_for_one_target() -> None:
    with pytest.raises(ModelError, match=r"one target, but there are 2 \('Treatment', 'Dose'\)"):
        check_request(ONLINE, TWO_HEADS, Goal.ONLINE_LABELS, CELLS, None)


def test_online_labels_are_for_cells() -> None:
    views = ONLINE.model_copy(
        update={"locations": LocationsSettings(mode="full_image", box_size=BOX, view_size=BOX)}
    )
    with pytest.raises(ModelError, match=r"full_image mode[\s\S]*full_image_crop_generator"):
        check_request(views, HEADS, Goal.ONLINE_LABELS, CELLS, None)


def test_reconstruction_has_no_heads_and_no_labels() -> None:
    with pytest.raises(ModelError, match="2 targets"):
        check_request(training_settings(), TWO_HEADS, Goal.RECONSTRUCTION, CELLS, None)
    with pytest.raises(ModelError, match="no labels to update"):
        check_request(ONLINE, HEADS, Goal.RECONSTRUCTION, CELLS, None)
