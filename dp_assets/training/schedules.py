"""The learning rate of each epoch, as a function of what is known before it starts."""

import math
from collections.abc import Sequence
from typing import Literal

from dp_assets.config.sections import StepSchedule

Schedule = Literal["constant", "cosine", "plateau"] | StepSchedule

WARM_UP_EPOCHS = 5
PLATEAU_FACTOR = 0.1
PLATEAU_PATIENCE = 5
PLATEAU_FLOOR = 1e-4
PLATEAU_MINIMUM_GAIN = 1e-4


def learning_rate(
    schedule: Schedule, base: float, epoch: int, epochs: int, validation_losses: Sequence[float] = ()
) -> float:
    """The learning rate of one epoch.

    Parameters
    ----------
    schedule : "constant", "cosine", "plateau", or a table of epochs and rates. Source: handbook,
        `lr_schedule`.
    base : `train.model.params.learning_rate`.
    epoch : 0-based number of the epoch.
    epochs : number of epochs of the whole training.
    validation_losses : validation losses so far, oldest first (used by "plateau" only). The rate follows from
        the log alone, so that a resumed run needs no further state.
    """
    if schedule == "constant":
        return base
    if schedule == "cosine":
        return _cosine(base, epoch, epochs)
    if schedule == "plateau":
        return _plateau(base, validation_losses)
    return _step(schedule, base, epoch)


def _cosine(base: float, epoch: int, epochs: int) -> float:
    if epoch < WARM_UP_EPOCHS:
        return base / (WARM_UP_EPOCHS - epoch)
    return 0.5 * (1 + math.cos(math.pi * epoch / epochs)) * base


def _step(table: StepSchedule, base: float, epoch: int) -> float:
    """The rate of the latest entry at or before this epoch; `base` before the first."""
    reached = [(start, rate) for start, rate in zip(table.epoch, table.lr, strict=True) if start <= epoch]
    return max(reached, key=lambda entry: entry[0])[1] if reached else base


def _plateau(base: float, validation_losses: Sequence[float]) -> float:
    """A tenth of the rate after each 5 validations without a better loss, down to 1e-4.

    "Better" means by more than 1e-4, as with Keras' ReduceLROnPlateau, which the original used.
    """
    rate, best, waited = base, math.inf, 0
    for loss in validation_losses:
        if loss < best - PLATEAU_MINIMUM_GAIN:
            best, waited = loss, 0
            continue
        waited += 1
        if waited >= PLATEAU_PATIENCE and rate > PLATEAU_FLOOR:
            rate, waited = max(rate * PLATEAU_FACTOR, PLATEAU_FLOOR), 0
    return rate
