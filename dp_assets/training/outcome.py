"""What a training tells about itself: after each epoch, and at the end."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dp_assets.training.fine_tuning import InitialWeights
from dp_assets.training.resume_state import EpochLog


@dataclass(frozen=True)
class EpochReport:
    """A finished epoch.

    Attributes
    ----------
    epoch, epochs : its 1-based number, and how many there are to be.
    values : loss and metrics by name; those of the validation cells begin with `val_`.
    learning_rate : the rate of this epoch.
    seconds : time it took, with validation.
    cells : number of cells shown.
    """

    epoch: int
    epochs: int
    values: dict[str, float]
    learning_rate: float
    seconds: float
    cells: int


@dataclass(frozen=True)
class TrainingOutcome:
    """A finished training.

    Attributes
    ----------
    epochs : number of epochs of the network in the folder; fewer than the configuration allows when a
        callback stopped the training.
    history : one row an epoch: epoch (1-based), loss, metrics, val_*, learning_rate, seconds.
    resumed_from : number of epochs that an earlier run had finished.
    checkpoints : file names of the checkpoints kept, by epoch.
    best_epoch : 1-based epoch of the lowest validation loss; None without validation.
    stopped_early : whether a callback ended the training.
    initial : the checkpoint it started from, and which layers took its weights; None when it started
        otherwise.
    """

    epochs: int
    history: pd.DataFrame
    resumed_from: int
    checkpoints: tuple[str, ...]
    best_epoch: int | None
    stopped_early: bool = False
    initial: InitialWeights | None = None


def history_table(history: Sequence[EpochLog]) -> pd.DataFrame:
    """The log as a table: epoch (int64), then float64: loss, metrics, val_*, learning_rate, seconds."""
    table = pd.DataFrame(list(history)).astype(float).astype({"epoch": "int64"})
    last = ["learning_rate", "seconds"]
    judged = [name for name in table.columns if name.startswith("val_")]
    first = [name for name in table.columns if name not in judged and name not in last]
    return table[[*first, *judged, *last]]


def report_of(entry: EpochLog, epochs: int, cells: int) -> EpochReport:
    """The report of a log entry; `cells` is the number of cells shown."""
    numbers = {name: value for name, value in entry.items() if value is not None}
    return EpochReport(
        epoch=int(numbers.pop("epoch")),
        epochs=epochs,
        learning_rate=numbers.pop("learning_rate"),
        seconds=numbers.pop("seconds"),
        values=numbers,
        cells=cells,
    )
