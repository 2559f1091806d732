"""Whether a training can be done at all: asked before anything is built."""

import numpy as np

from dp_assets.config.errors import ModelError, Problem, TrainingDataError
from dp_assets.config.stages import TrainingSettings
from dp_assets.training.cells import LabelledCells

GENERATORS = ("sampled_crop_generator", "crop_generator")


def check_request(
    settings: TrainingSettings,
    classes: tuple[str, ...],
    training: LabelledCells,
    validation: LabelledCells | None,
) -> None:
    """Find out before anything is built or read whether this training can be done.

    Raises
    ------
    ModelError : no training with this crop generator is available.
    TrainingDataError : as check_classes; or validation cells are needed, and there are none.
    """
    check_generator(settings.network.crop_generator)
    check_classes(training, classes, settings.partition.targets[0])
    if validation is None:
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


def check_classes(cells: LabelledCells, classes: tuple[str, ...], target: str) -> None:
    """Make sure that a classifier can be trained on these cells.

    Parameters
    ----------
    cells : the training cells.
    classes : names of the classes, in the order of the labels.
    target : the metadata column the classes come from, for the message.

    Raises
    ------
    TrainingDataError : no cells at all, a single class, classes without cells, labels that name no class.
    """
    where = f"training cells of {target!r}"
    problems = []
    if len(cells) == 0:
        raise TrainingDataError(
            "there are no cells to train on",
            where=where,
            remedy="check train.partition (split_field, training) against the metadata, and the locations",
        )
    if cells.labels.min() < 0 or cells.labels.max() >= len(classes):
        raise ValueError(
            f"Expected labels in [0, {len(classes)}). Received {np.unique(cells.labels)[[0, -1]]}."
        )
    if len(classes) < 2:
        problems.append(
            Problem(
                f"there is one class only ({', '.join(map(repr, classes))})",
                where,
                "choose another column in train.partition.targets, or add images of a second class",
            )
        )
    counts = np.bincount(cells.labels, minlength=len(classes))
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


def check_generator(name: str) -> None:
    """Raise ModelError when no training with this crop generator is available."""
    if name not in GENERATORS:
        raise ModelError(
            f"the crop generator {name!r} is not available for training",
            where="train.model.crop_generator",
            remedy=f"use one of: {', '.join(GENERATORS)}",
        )
