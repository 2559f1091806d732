"""Trainings that are cut off at a chosen place, and what must come out of going on with them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dp_assets.training import trainer, training_run
from dp_assets.training.model_loading import load_trained_network
from dp_assets.training.outcome import TrainingOutcome

Train = Callable[[Path], TrainingOutcome]


class InterruptionError(Exception):
    """Stands for whatever ends a process."""


class InterruptedAt:
    """Wraps a function so that its n-th call fails, before or after the work."""

    def __init__(self, function: Any, call: int, *, after: bool) -> None:
        self.function, self.left, self.after = function, call, after

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise InterruptionError
        result = self.function(*args, **kwargs)
        if self.left == 0:
            raise InterruptionError
        return result


def interrupt(train: Train, folder: Path, place: str, call: int, *, after: bool) -> None:
    """Train until the n-th call of a function of the trainer is reached, or ended."""
    with pytest.MonkeyPatch.context() as patch:
        module = trainer if place == "save_network" else training_run
        patch.setattr(module, place, InterruptedAt(getattr(module, place), call, after=after))
        with pytest.raises(InterruptionError):
            train(folder)
    assert not (folder / "model.keras").exists()


def curve(history: pd.DataFrame) -> pd.DataFrame:
    """The history without what differs from run to run."""
    return history.drop(columns="seconds")


def assert_same_training(
    folders: tuple[Path, Path], outcomes: tuple[TrainingOutcome, TrainingOutcome]
) -> None:
    """Two trainings brought the same curve, checkpoints and weights."""
    pd.testing.assert_frame_equal(curve(outcomes[0].history), curve(outcomes[1].history), rtol=1e-5)
    pd.testing.assert_frame_equal(pd.read_csv(folders[0] / "log.csv"), outcomes[0].history)
    for fact in ("epochs", "checkpoints", "best_epoch", "stopped_early", "initial"):
        assert getattr(outcomes[0], fact) == getattr(outcomes[1], fact), fact
    networks = [load_trained_network(folder) for folder in folders]
    for mine, theirs in zip(networks[0].weights, networks[1].weights, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)
