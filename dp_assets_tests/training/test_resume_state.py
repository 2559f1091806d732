"""State of a run: written and read back without loss, and never half."""

from pathlib import Path

import keras
import numpy as np
import pytest

from dp_assets.config.errors import StoreError
from dp_assets.training.resume_state import EpochLog, Progress, read_progress, restore_state, save_state


def small_model(units: int = 3, seed: int = 0) -> keras.Model:
    """A compiled model that has made some steps."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(units), keras.layers.BatchNormalization()]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    generator = np.random.default_rng(seed)
    for _ in range(3):
        model.train_on_batch(generator.random((5, 4)), generator.random((5, units)))
    return model


HISTORY: tuple[EpochLog, ...] = (
    {"epoch": 1, "loss": 0.1 + 0.2, "val_loss": None},
    {"epoch": 2, "loss": 1e-30, "val_loss": 2 / 3},
)


def test_nothing_is_lost(tmp_path: Path) -> None:
    model, other = small_model(seed=0), small_model(seed=1)
    save_state(tmp_path / "resume.npz", model, Progress("me", HISTORY))
    progress = read_progress(tmp_path / "resume.npz")
    restore_state(tmp_path / "resume.npz", other)

    assert progress == Progress("me", HISTORY)
    for mine, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    x, y = np.ones((5, 4), np.float32), np.ones((5, 3), np.float32)
    assert model.train_on_batch(x, y) == other.train_on_batch(x, y)
    for mine, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg="the optimizer's moments were not restored")


def test_progress_knows_its_best_epoch() -> None:
    losses = [None, 0.5, 0.3, None, 0.3, 0.4]
    progress = Progress("me", tuple({"epoch": i, "val_loss": loss} for i, loss in enumerate(losses, 1)))
    assert progress.best_epoch() == 3
    assert progress.validation_losses() == [0.5, 0.3, 0.3, 0.4]
    assert Progress("me", ({"epoch": 1, "loss": 0.5},)).best_epoch() is None


def test_no_state_yet(tmp_path: Path) -> None:
    assert read_progress(tmp_path / "resume.npz") is None


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_damaged_state_is_an_error_that_names_the_file(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "resume.npz"
    save_state(path, small_model(), Progress("me", HISTORY))
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept < 1 else int(kept)])
    with pytest.raises(StoreError, match=r"resume\.npz.*cannot be read[\s\S]*delete the file"):
        read_progress(path)


def test_state_of_another_network(tmp_path: Path) -> None:
    save_state(tmp_path / "resume.npz", small_model(units=3), Progress("me"))
    with pytest.raises(StoreError, match=r"resume\.npz"):
        restore_state(tmp_path / "resume.npz", small_model(units=2))
