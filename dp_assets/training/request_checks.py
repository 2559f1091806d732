"""Whether a training can be done at all: asked before anything is built."""

import numpy as np

from dp_assets.config.errors import ModelError, Problem, TrainingDataError
from dp_assets.config.stages import TrainingSettings
from dp_assets.training.cells import LabelledCells
from dp_assets.training.feeds import ONLINE_LABELS, WHERE
from dp_assets.training.targets import Goal
from dp_assets.training.training_set import Heads


def goal_of(settings: TrainingSettings, *, reconstructs: bool) -> Goal:
    """What the network is to learn.

    Parameters
    ----------
    reconstructs : whether the network makes crops out of crops.
    """
    if reconstructs:
        return Goal.RECONSTRUCTION
    return Goal.ONLINE_LABELS if settings.network.crop_generator == ONLINE_LABELS else Goal.CLASSES


def check_request(
    settings: TrainingSettings,
    heads: Heads,
    goal: Goal,
    training: LabelledCells,
    validation: LabelledCells | None,
) -> None:
    """Find out before anything is built or read whether this training can be done.

    Raises
    ------
    ModelError : settings that do not go together.
    TrainingDataError : as check_classes (as check_cells where no classes are learnt); or validation cells are
        needed, and there are none.
    """
    check_combination(settings, heads, goal)
    check_cells(training)
    if goal is not Goal.RECONSTRUCTION:
        labels = training.labels.reshape(len(training), -1)
        if labels.shape[1] != len(heads):
            raise ValueError(f"Expected labels of {len(heads)} heads. Received {labels.shape[1]}.")
        # Random views show other images each epoch, balanced over the first target alone: the first epoch may
        # lack a class of another. Their images were looked at when the training set was made.
        checked = heads if training.renew is None else heads[:1]
        for head, (target, classes) in enumerate(checked):
            check_classes(labels[:, head], classes, target)
    if validation is None:
        _check_without_validation(settings)


def check_combination(settings: TrainingSettings, heads: Heads, goal: Goal) -> None:
    """Raise ModelError for settings that do not go together."""
    targets = ", ".join(repr(column) for column, _ in heads)
    if goal is Goal.RECONSTRUCTION:
        if len(heads) > 1:
            raise ModelError(
                f"{settings.network.name} reconstructs crops and has no heads, but there are {len(heads)} "
                f"targets ({targets})",
                where="train.partition.targets",
                remedy="give one target, over which epochs are balanced, or choose a classifier",
            )
        if settings.network.crop_generator == ONLINE_LABELS:
            raise ModelError(
                f"{settings.network.name} reconstructs crops, so there are no labels to update",
                where=WHERE,
                remedy="use sampled_crop_generator",
            )
    if goal is Goal.ONLINE_LABELS:
        if len(heads) > 1:
            raise ModelError(
                f"online labels are for one target, but there are {len(heads)} ({targets})",
                where="train.partition.targets",
                remedy="give one target, or use sampled_crop_generator with label_smoothing",
            )
        if settings.locations.mode == "full_image":
            raise ModelError(
                "online labels belong to cells, but in full_image mode every epoch draws other views",
                where=WHERE,
                remedy="use full_image_crop_generator with label_smoothing, or single_cells mode",
            )


def _check_without_validation(settings: TrainingSettings) -> None:
    needs = {
        "checkpoint_policy": settings.network.checkpoint_policy == "best",
        "lr_schedule": settings.network.lr_schedule == "plateau",
    }
    problems = [
        Problem(
            f"{key} is {getattr(settings.network, key)!r}, but there are no validation cells to judge by",
            f"train.model.{key}",
            "let train.partition.validation name images that exist, or choose another setting",
        )
        for key, needed in needs.items()
        if needed
    ]
    if problems:
        raise TrainingDataError(problems)


def check_cells(cells: LabelledCells) -> None:
    """Raise TrainingDataError when there are no cells to train on."""
    if len(cells) == 0:
        raise TrainingDataError(
            "there are no cells to train on",
            where="training cells",
            remedy="check train.partition (split_field, training) against the metadata, and the locations",
        )


def check_classes(labels: np.ndarray, classes: tuple[str, ...], target: str) -> None:
    """Make sure that a classifier can be trained on these cells.

    Parameters
    ----------
    labels : int64 (cells,), classes of the training cells; at least one.
    classes : names of the classes, in the order of the labels.
    target : the metadata column the classes come from, for the message.

    Raises
    ------
    TrainingDataError : a single class, classes without cells.
    """
    where = f"training cells of {target!r}"
    problems = []
    if labels.min() < 0 or labels.max() >= len(classes):
        raise ValueError(f"Expected labels in [0, {len(classes)}). Received {np.unique(labels)[[0, -1]]}.")
    if len(classes) < 2:
        problems.append(
            Problem(
                f"there is one class only ({', '.join(map(repr, classes))})",
                where,
                "choose another column in train.partition.targets, or add images of a second class",
            )
        )
    counts = np.bincount(labels, minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        problems.append(
            Problem(
                f"{len(empty)} of {len(classes)} classes have no training cell: "
                f"{', '.join(map(repr, empty[:10]))}{' and others' if len(empty) > 10 else ''}",
                where,
                "put a replicate of each into the training split, or leave these classes out",
            )
        )
    if problems:
        raise TrainingDataError(problems)
