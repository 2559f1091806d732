"""Callbacks over a whole training, against Keras' own driving of them."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.config.errors import ModelError
from dp_assets.config.network import CallbackSettings
from dp_assets.training.callback_settings import REFUSED, build_callbacks, known_callbacks
from dp_assets.training.callbacks import ConfiguredCallback, TrainingCallbacks
from dp_assets.training.resume_state import EpochLog

NAMES = ("loss", "accuracy", "top_k", "Dose_accuracy")


def built(*wanted: dict[str, Any], folder: Path = Path(), validated: bool = True) -> TrainingCallbacks:
    return build_callbacks(
        [CallbackSettings.model_validate(entry) for entry in wanted],
        NAMES,
        validated=validated,
        folder=folder,
    )


def model() -> keras.Model:
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.compile("sgd", "mse")
    return network


MODEL = model()


def stops_at(callbacks: TrainingCallbacks, history: list[EpochLog], resumed_at: int) -> int | None:
    """The 0-based epoch after which callbacks, begun again after `resumed_at` epochs, stop a training."""
    callbacks.begin(MODEL, len(history), history[:resumed_at])
    for epoch, entry in enumerate(history[resumed_at:], resumed_at):
        callbacks.begin_epoch(epoch)
        callbacks.end_epoch(epoch, entry)
        if MODEL.stop_training:
            return epoch
    return None


@given(
    losses=st.lists(st.sampled_from([None, 1.0, 0.9, 0.8, 0.7, 1.2]), min_size=2, max_size=14),
    patience=st.integers(0, 4),
    minimum=st.sampled_from([0, 0.15]),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_early_stopping_is_that_of_keras_wherever_it_is_resumed(
    losses: list[float | None], patience: int, minimum: float, data: st.DataObject
) -> None:
    oracle = keras.callbacks.EarlyStopping("val_loss", patience=patience, min_delta=minimum, mode="min")
    oracle.set_model(MODEL)
    oracle.on_train_begin()
    MODEL.stop_training = False
    expected = None
    for epoch, loss in enumerate(losses):
        if loss is not None:
            oracle.on_epoch_end(epoch, {"val_loss": loss})
        if MODEL.stop_training:
            expected = epoch
            break
    wanted = {"name": "EarlyStopping", "params": {"patience": patience, "min_delta": minimum}}
    history: list[EpochLog] = [
        {"epoch": n, "loss": 1.0, "val_loss": loss, "learning_rate": 0.1, "seconds": 1.0}
        for n, loss in enumerate(losses, 1)
    ]
    last = len(losses) if expected is None else expected
    resumed_at = data.draw(st.integers(0, last))
    assert stops_at(built(wanted), history, resumed_at) == expected


@pytest.mark.parametrize(
    ("monitor", "values", "stop"),
    [
        ("val_accuracy", [0.1, 0.2, 0.3, 0.3], 3),
        ("val_Dose_accuracy", [0.1, 0.2, 0.2, 0.3], 2),
        ("top_k", [0.5, 0.4, 0.6, 0.6], 1),
        ("val_loss", [0.5, 0.4, 0.4, 0.6], 2),
    ],
)
def test_what_is_better_follows_from_the_name(monitor: str, values: list[float], stop: int) -> None:
    history: list[EpochLog] = [{"epoch": n, monitor: value} for n, value in enumerate(values, 1)]
    assert stops_at(built({"name": "EarlyStopping", "params": {"monitor": monitor}}), history, 0) == stop


class Recorder(keras.callbacks.Callback):
    """Writes down every call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def on_train_begin(self, _logs: Any = None) -> None:
        self.calls.append("train begin")

    def on_train_end(self, _logs: Any = None) -> None:
        self.calls.append("train end")

    def on_epoch_begin(self, epoch: int, _logs: Any = None) -> None:
        self.calls.append(("begin", epoch))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(("end", epoch, dict(logs or {})))

    def on_train_batch_end(self, batch: int, _logs: Any = None) -> None:
        self.calls.append(("batch", batch))


def test_the_whole_training_is_one_training_for_a_callback() -> None:
    recorder = Recorder()
    callbacks = TrainingCallbacks([ConfiguredCallback(recorder, "Recorder", "here")])
    entries: list[EpochLog] = [
        {"epoch": 1, "loss": 0.5, "val_loss": None, "learning_rate": 0.1, "seconds": 3.0},
        {"epoch": 2, "loss": 0.4, "val_loss": 0.6, "learning_rate": 0.1, "seconds": 3.0},
    ]
    callbacks.begin(MODEL, 2, entries[:1])
    callbacks.begin_epoch(1)
    MODEL.fit(np.zeros((4, 2)), np.zeros(4), batch_size=2, verbose=0, callbacks=callbacks.during_epoch())
    callbacks.end_epoch(1, entries[1])
    callbacks.end()
    assert recorder.calls == [
        "train begin",
        ("begin", 0),
        ("end", 0, {"loss": 0.5}),
        ("begin", 1),
        ("batch", 0),
        ("batch", 1),
        ("end", 1, {"loss": 0.4, "val_loss": 0.6}),
        "train end",
    ]
    assert recorder.params["epochs"] == 2


def test_callbacks_that_ignore_batches_do_not_slow_them_down() -> None:
    assert built({"name": "EarlyStopping"}).during_epoch() == []
    assert len(built({"name": "TerminateOnNaN"}).during_epoch()) == 1


def test_files_of_callbacks_lie_in_the_model_folder_and_are_whole_after_a_resume(tmp_path: Path) -> None:
    history: list[EpochLog] = [{"epoch": n, "loss": 1 / n, "val_loss": 2 / n} for n in (1, 2, 3)]
    for cut in (0, 2):
        callbacks = built({"name": "CSVLogger", "params": {"filename": "own.csv"}}, folder=tmp_path)
        callbacks.begin(MODEL, 3, history[:cut])
        for epoch, entry in enumerate(history[cut : cut + 2], cut):
            callbacks.end_epoch(epoch, entry)
    callbacks.end()
    table = pd.read_csv(tmp_path / "callbacks" / "own.csv")
    assert table.to_dict("list") == {
        "epoch": [0, 1, 2],
        "loss": [1.0, 0.5, 1 / 3],
        "val_loss": [2.0, 1.0, 2 / 3],
    }


def test_a_callback_that_fails_names_its_place() -> None:
    class Failing(keras.callbacks.Callback):
        def on_epoch_end(self, _epoch: int, _logs: Any = None) -> None:
            raise KeyError("nothing")

    callbacks = TrainingCallbacks([ConfiguredCallback(Failing(), "Failing", "train.model.callbacks[3]")])
    callbacks.begin(MODEL, 1, [])
    with pytest.raises(ModelError, match=r"train\.model\.callbacks\[3\]: the callback 'Failing' failed"):
        callbacks.end_epoch(0, {"epoch": 1})


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"name": "EarlyStoping"},
            r"callbacks\[1\]\.name.*did you mean 'EarlyStopping'[\s\S]*TerminateOnNaN",
        ),
        ({"name": "Callback"}, r"'Callback' is no callback of Keras"),
        ({"name": "EarlyStopping", "params": {"wait": 3}}, r"callbacks\[1\]\.params.*'wait': 3.*unexpected"),
        (
            {"name": "EarlyStopping", "params": {"patience": "five"}},
            r"callbacks\[1\].*failed.*'int' and 'str'",
        ),
        ({"name": "EarlyStopping", "params": {"monitor": "val_acuracy"}}, r"did you mean 'val_accuracy'"),
        ({"name": "EarlyStopping", "params": {"mode": "smaller"}}, r"mode is 'smaller'"),
        ({"name": "EarlyStopping", "params": {"restore_best_weights": True}}, r'"checkpoint_policy": "best"'),
        ({"name": "CSVLogger"}, r"cannot be made with \{\}.*filename"),
        ({"name": "CSVLogger", "params": {"filename": "../a.csv"}}, r"leads out of the model folder"),
        ({"name": "CSVLogger", "params": {"filename": "/tmp/a.csv"}}, r"leads out of the model folder"),
        ({"name": "CSVLogger", "params": {"filename": "a.csv", "append": True}}, r"append is true"),
        ({"name": "ReduceLROnPlateau"}, r"lr_schedule"),
        ({"name": "LambdaCallback"}, r"Python functions"),
    ],
    ids=str,
)
def test_mistakes_name_place_and_remedy(wanted: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        built({"name": "TerminateOnNaN"}, wanted, folder=tmp_path)


def test_nothing_to_monitor_without_validation() -> None:
    with pytest.raises(ModelError, match=r"'val_loss'.*no validation cells[\s\S]*train\.partition"):
        built({"name": "EarlyStopping"}, validated=False)


def test_nothing_says_what_is_better() -> None:
    with pytest.raises(ModelError, match=r'whether a larger \'cosine_similarity\'[\s\S]*"mode": "max"'):
        build_callbacks(
            [CallbackSettings(name="EarlyStopping", params={"monitor": "cosine_similarity"})],
            ("cosine_similarity",),
            validated=False,
            folder=Path(),
        )


def test_known_callbacks_are_those_of_keras_that_can_be_used() -> None:
    known = known_callbacks()
    assert {"EarlyStopping", "TerminateOnNaN", "CSVLogger"} <= set(known)
    assert not set(known) & set(REFUSED)
    assert all(hasattr(keras.callbacks, name) for name in REFUSED)
