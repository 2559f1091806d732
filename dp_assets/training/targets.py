"""What a batch asks of the network: the class in each head, a softened class, or the crop itself."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import numpy as np

from dp_assets.training.cells import LabelledCells
from dp_assets.training.training_set import Heads

Target = np.ndarray | tuple[np.ndarray, ...]


class Goal(StrEnum):
    """What a network learns: classes, classes whose labels follow its predictions, or its own input."""

    CLASSES = "classes"
    ONLINE_LABELS = "online labels"
    RECONSTRUCTION = "reconstruction"


class BatchTargets(Protocol):
    """Makes the target of a batch."""

    def of(self, rows: np.ndarray, crops: np.ndarray) -> Target:
        """The target of the cells `rows` (int64 (n,)), whose crops are (n, rows, cols, channels)."""
        ...


class ClassTargets:
    """One-hot labels, float32 (n, classes); a tuple of them where there are several heads.

    Parameters
    ----------
    labels : int64 (cells,) or (cells, heads).
    classes : number of classes of each head.
    """

    def __init__(self, labels: np.ndarray, classes: Sequence[int]) -> None:
        self._labels = labels.reshape(len(labels), -1)
        self._one_hot = [np.eye(number, dtype=np.float32) for number in classes]

    def of(self, rows: np.ndarray, crops: np.ndarray) -> Target:  # noqa: ARG002
        """One-hot labels of these cells."""
        parts = tuple(one_hot[self._labels[rows, head]] for head, one_hot in enumerate(self._one_hot))
        return parts[0] if len(parts) == 1 else parts


class SoftTargets:
    """Pairs (one-hot labels to judge by, soft labels to learn from), each float32 (n, classes).

    Parameters
    ----------
    labels : int64 (cells,).
    classes : number of classes.
    soft : float32 (cells, classes); None where nothing is learnt, and both are the one-hot labels.
    """

    def __init__(self, labels: np.ndarray, classes: int, soft: np.ndarray | None) -> None:
        self._labels = labels
        self._one_hot = np.eye(classes, dtype=np.float32)
        self._soft = soft

    def of(self, rows: np.ndarray, crops: np.ndarray) -> Target:  # noqa: ARG002
        """Hard and soft labels of these cells."""
        hard = self._one_hot[self._labels[rows]]
        return hard, hard if self._soft is None else self._soft[rows]


class CropTargets:
    """The crops themselves, as they are in their source, for networks that reconstruct them.

    What the network made is compared with what it saw (`TrainingModel`): these crops, normalised and
    augmented.
    """

    def of(self, rows: np.ndarray, crops: np.ndarray) -> Target:  # noqa: ARG002
        """The crops of the batch."""
        return crops


def targets_of(
    cells: LabelledCells, heads: Heads, goal: Goal, soft: np.ndarray | None = None
) -> BatchTargets:
    """The targets of these cells.

    Parameters
    ----------
    soft : with online labels: the present labels of the training cells; None for cells to validate on.
    """
    if goal is Goal.RECONSTRUCTION:
        return CropTargets()
    classes = [len(names) for _, names in heads]
    if goal is Goal.ONLINE_LABELS:
        return SoftTargets(cells.first_labels, classes[0], soft)
    return ClassTargets(cells.labels, classes)
