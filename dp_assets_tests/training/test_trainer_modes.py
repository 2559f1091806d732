"""Whole trainings of every kind: heads, online labels, reconstruction, callbacks, fine-tuning, plugins."""

import json
import logging
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.networks.optimizers import nesterov_sgd
from dp_assets.training import assembly, schedules, training_run
from dp_assets.training.cells import LabelledCells
from dp_assets.training.model_loading import load_trained_network
from dp_assets.training.outcome import TrainingOutcome
from dp_assets.training.trainer import train_network
from dp_assets_tests.training.interruptions import assert_same_training, interrupt
from dp_assets_tests.training.synthetic import (
    BOX,
    CHANNELS,
    CLASSES,
    HEADS,
    ArrayCrops,
    labelled_cells,
    pixels,
    training_settings,
)

TRAINING = labelled_cells()
VALIDATION = labelled_cells((6, 6, 6), seed=1)
TWO_HEADS = (*HEADS, ("Dose", ("low", "high")))
ONLINE = "online_labels_cropgen"


def with_doses(cells: LabelledCells) -> LabelledCells:
    """A second label: whether some side of the crop is brighter."""
    return replace(cells, labels=np.stack([cells.labels, (cells.labels > 0).astype(np.int64)], axis=1))


def train(
    folder: Path,
    *,
    heads: Any = HEADS,
    training: LabelledCells = TRAINING,
    cells: LabelledCells | None = VALIDATION,
    extra: dict[str, Any] | None = None,
    **settings: Any,
) -> TrainingOutcome:
    """Train on the synthetic cells, validating on `cells`; keyword arguments go to `train.model`."""
    return train_network(
        settings=training_settings(**settings),
        heads=heads,
        training=training,
        validation=cells,
        folder=folder,
        **(extra or {}),
    )


def train_two_heads(folder: Path, **settings: Any) -> TrainingOutcome:
    return train(
        folder,
        heads=TWO_HEADS,
        training=with_doses(TRAINING),
        cells=with_doses(VALIDATION),
        **settings,
    )


def test_several_heads_learn_and_report_each(tmp_path: Path) -> None:
    outcome = train_two_heads(tmp_path, epochs=8)
    history = outcome.history
    measured = ["accuracy", "loss", "Treatment_loss", "Dose_accuracy", "Dose_loss"]
    assert sorted(history.columns[1:-2]) == sorted([*measured, *(f"val_{name}" for name in measured)])
    assert history["Dose_accuracy"].iloc[-1] > 0.8
    network = load_trained_network(tmp_path)
    predictions = network.predict(pixels(VALIDATION), verbose=0)
    assert [p.shape for p in predictions] == [(18, 3), (18, 2)]
    labels = with_doses(VALIDATION).labels
    for head, name in enumerate(("val_accuracy", "val_Dose_accuracy")):
        right = np.mean(predictions[head].argmax(axis=1) == labels[:, head])
        assert history[name].iloc[-1] == pytest.approx(right)


def use_sgd(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(assembly, "optimizer_for", lambda _, rate: nesterov_sgd(rate))
    patch.setattr(schedules, "PLATEAU_PATIENCE", 1)


def use_fast_loss_scale(patch: pytest.MonkeyPatch) -> None:
    scaled = partial(keras.optimizers.LossScaleOptimizer, dynamic_growth_steps=3)
    patch.setattr(keras.optimizers, "LossScaleOptimizer", scaled)


STOPPING = {"name": "EarlyStopping", "params": {"monitor": "loss", "patience": 2, "min_delta": 9.0}}
RESUMED: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "several heads, SGD, plateau": (
        use_sgd,
        train_two_heads,
        {
            "epochs": 4,
            "lr_schedule": "plateau",
            "checkpoint_policy": "best",
            "params": {"learning_rate": 0.5},
        },
    ),
    "online labels, Adam, cosine, early stopping": (
        None,
        train,
        {
            "epochs": 8,
            "lr_schedule": "cosine",
            "crop_generator": ONLINE,
            "checkpoint_policy": 3,
            "callbacks": [STOPPING],
            "params": {"online_lambda": 0.3},
        },
    ),
    "half precision": (use_fast_loss_scale, train, {"epochs": 3, "extra": {"dtype_policy": "mixed_float16"}}),
}


@pytest.mark.parametrize("kind", RESUMED)
def test_interrupted_training_ends_as_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    patch, function, settings = RESUMED[kind]
    if patch is not None:
        patch(monkeypatch)
    run = partial(function, **settings)
    interrupt(run, tmp_path / "a", "remove_checkpoints", 2, after=False)
    folders = (tmp_path / "a", tmp_path / "b")
    outcomes = run(folders[0]), run(folders[1])

    assert outcomes[0].resumed_from == 2
    assert_same_training(folders, outcomes)
    states = [dict(np.load(folder / "resume.npz")) for folder in folders]
    for name, mine in states[0].items():
        if name != "progress":
            np.testing.assert_allclose(mine, states[1][name], rtol=1e-3, atol=1e-4, err_msg=name)
    if kind == "half precision":
        scales = [float(a) for a in states[0].values() if a.shape == () and a > 1000]
        assert scales, "the scale of the loss is kept"
        assert scales != [2.0**15], "the scale must change, or nothing is tested"
    if kind.startswith("several"):
        assert outcomes[0].history["learning_rate"].nunique() > 1, "the rate must fall, or nothing is tested"
    if kind.startswith("online"):
        assert (outcomes[0].epochs, outcomes[0].stopped_early) == (3, True)
        labels = [np.load(folder / "soft_labels" / "state_0003.npy") for folder in folders]
        np.testing.assert_allclose(labels[0], labels[1], rtol=1e-5)
        names = [sorted(path.name for path in (folder / "soft_labels").iterdir()) for folder in folders]
        assert names[0] == names[1] == ["0003.csv", "state_0003.npy"]


def test_online_labels_follow_the_network_for_every_cell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # the first class has far more cells than an epoch shows
    cells = labelled_cells((30, 6, 6))
    share, smoothing = 0.4, 0.2
    train(
        tmp_path,
        training=cells,
        epochs=3,
        crop_generator=ONLINE,
        params={"online_lambda": share, "online_label_smoothing": smoothing, "label_smoothing": 0.5},
    )
    assert "label_smoothing (0.5) has no effect" in caplog.text
    expected = np.eye(3)[cells.labels] * (1 - smoothing) + smoothing / 3
    for epoch in (1, 2, 3):
        network = load_trained_network(tmp_path, f"checkpoint_000{epoch}")
        expected = (1 - share) * expected + share * network.predict(pixels(cells), verbose=0)
        table = pd.read_csv(tmp_path / "soft_labels" / f"000{epoch}.csv")
        assert list(table.columns) == ["row", *CLASSES]
        np.testing.assert_allclose(table[list(CLASSES)], expected, atol=2e-5)


def test_training_that_is_stopped_early_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {
        "epochs": 9,
        "callbacks": [STOPPING, {"name": "CSVLogger", "params": {"filename": "own.csv"}}],
        "validation": {"frequency": 9},
        "checkpoint_policy": 5,
    }
    outcome = train(tmp_path, **settings)
    assert (outcome.epochs, outcome.stopped_early) == (3, True)
    assert outcome.checkpoints == ("checkpoint_0003.weights.h5",)
    assert outcome.history["val_loss"].notna().tolist() == [False, False, True], "the last epoch is validated"
    assert len(pd.read_csv(tmp_path / "callbacks" / "own.csv")) == 3
    monkeypatch.setattr(training_run, "fit_epoch", lambda *_: pytest.fail("trained again"))
    again = train(tmp_path, **settings)
    assert (again.epochs, again.stopped_early, again.resumed_from) == (3, True, 3)
    pd.testing.assert_frame_equal(again.history, outcome.history)
    with pytest.raises(ModelError, match=r"'checkpoint_0009'[\s\S]*checkpoint_0003"):
        load_trained_network(tmp_path, "checkpoint_0009")


def test_mistakes_in_callbacks_show_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"train\.model\.callbacks\[0\]\.name.*'EarlyStop'"):
        train(tmp_path, callbacks=["EarlyStop"])
    assert not (tmp_path / "log.csv").exists()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network for three classes and two channels."""
    folder = tmp_path_factory.mktemp("first")
    train(folder, epochs=1)
    return folder / "checkpoints" / "checkpoint_0001.weights.h5"


def test_training_starts_from_the_layers_that_match(tmp_path: Path, checkpoint: Path) -> None:
    labels = np.minimum(TRAINING.labels, 1)
    run = partial(
        train,
        heads=(("Treatment", ("a", "b")),),
        training=replace(TRAINING, labels=labels),
        cells=None,
        epochs=2,
        # cnn has none: what the checkpoint gives is not fetched elsewhere
        initialization="imagenet",
        params={"learning_rate": 1e-30},
        extra={"start_from": checkpoint},
    )
    interrupt(run, tmp_path / "a", "fit_epoch", 2, after=True)
    outcome = run(tmp_path / "a")
    initial = outcome.initial
    assert initial is not None
    assert (initial.file, initial.loaded, initial.skipped, initial.missing) == (
        checkpoint.name, 3, ("Treatment",), ()
    )  # fmt: skip
    facts = json.loads((tmp_path / "a" / "start_from.json").read_text())
    assert facts == {"file": checkpoint.name, "loaded": 3, "skipped": ["Treatment"], "missing": []}
    theirs = load_trained_network(checkpoint.parents[1])
    mine = load_trained_network(tmp_path / "a")
    for layer in ("block1_conv", "features"):
        for one, two in zip(mine.get_layer(layer).weights, theirs.get_layer(layer).weights, strict=True):
            np.testing.assert_allclose(one, two, atol=1e-7)
    assert mine.get_layer("Treatment").kernel.shape[-1] == 2
    assert_same_training((tmp_path / "a", tmp_path / "b"), (outcome, run(tmp_path / "b")))


def test_another_start_is_another_training(tmp_path: Path, checkpoint: Path) -> None:
    started = train(tmp_path, epochs=1, extra={"start_from": checkpoint})
    assert started.initial is not None
    assert started.initial.skipped == ()
    again = train(tmp_path, epochs=1, extra={"start_from": checkpoint})
    assert again.resumed_from == 1
    assert again.initial == started.initial
    fresh = train(tmp_path, epochs=1)
    assert (fresh.resumed_from, fresh.initial) == (0, None)
    assert not (tmp_path / "start_from.json").exists()


def test_missing_weights_to_start_from(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.start_from: .*gone\.hdf5: the weights .* cannot be read"):
        train(tmp_path, extra={"start_from": tmp_path / "gone.hdf5"})


def test_reconstruction_needs_no_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = np.zeros(len(TRAINING), np.int64)
    with caplog.at_level(logging.WARNING):
        outcome = train(
            tmp_path,
            heads=(("Plate", ("P1",)),),
            training=replace(TRAINING, labels=labels),
            cells=replace(VALIDATION, labels=np.zeros(len(VALIDATION), np.int64)),
            name="autoencoder",
            epochs=4,
            augmentations=True,
            checkpoint_policy="best",
            metrics=["accuracy", "mae"],
        )
    assert "accuracy cannot be measured; measuring mae" in caplog.text
    history = outcome.history
    assert set(history.columns[1:-2]) == {"loss", "mae", "val_loss", "val_mae"}
    assert history["val_loss"].iloc[-1] < 0.7 * history["val_loss"].iloc[0]
    made = load_trained_network(tmp_path).predict(pixels(VALIDATION), verbose=0)
    assert np.mean((made - pixels(VALIDATION)) ** 2) == pytest.approx(history["val_loss"].iloc[-1], rel=1e-4)


PLUGINS = """
import keras

def darker(crops, labels, generator):
    return crops * {factor}

FEEDS = {{"darker": darker}}
METRICS = {{"certainty": lambda classes: keras.metrics.MeanMetricWrapper(
    lambda truth, said: keras.ops.max(said, axis=-1))}}
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A project's plugin folder with a feed and a metric."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "mine.py").write_text(PLUGINS.format(factor=0.5))
    return folder


def test_feeds_and_metrics_of_plugin_files(tmp_path: Path, plugins: Path) -> None:
    run = partial(
        train,
        tmp_path / "model",
        epochs=2,
        crop_generator="darker",
        metrics=["accuracy", "certainty"],
        extra={"plugins": plugins},
    )
    outcome = run()
    assert {"certainty", "val_certainty"} <= set(outcome.history.columns)
    said = load_trained_network(tmp_path / "model").predict(pixels(VALIDATION), verbose=0)
    certainty = outcome.history["val_certainty"].iloc[-1]
    assert certainty == pytest.approx(said.max(axis=1).mean(), rel=1e-4), "validation crops are not changed"

    dark = replace(TRAINING, crops=ArrayCrops(pixels(TRAINING) * np.float32(0.5)))
    by_hand = train(tmp_path / "by_hand", training=dark, epochs=2)
    np.testing.assert_allclose(outcome.history["loss"], by_hand.history["loss"], rtol=1e-4)

    assert run().resumed_from == 2
    (plugins / "mine.py").write_text(PLUGINS.format(factor=0.25))
    changed = run()
    assert changed.resumed_from == 0, "another feed makes another training"
    assert changed.history["loss"][1] != pytest.approx(outcome.history["loss"][1], rel=1e-4)


def test_unknown_generators_list_those_of_plugins(tmp_path: Path, plugins: Path) -> None:
    with pytest.raises(ModelError, match=r"'brighter'[\s\S]*online_labels_cropgen[\s\S]*darker"):
        train(tmp_path / "model", crop_generator="brighter", extra={"plugins": plugins})


def test_every_epoch_may_have_other_crops(tmp_path: Path) -> None:
    epochs: list[int] = []

    def renew(epoch: int) -> LabelledCells:
        epochs.append(epoch)
        return replace(TRAINING, crops=ArrayCrops(pixels(TRAINING) * np.float32(epoch)))

    outcome = train(tmp_path, epochs=2, training=replace(TRAINING, renew=renew), augmentations=False)
    assert epochs == [0, 1]
    assert outcome.history["accuracy"][0] <= 0.5, "all crops of the first epoch are black"


class ReadRows(ArrayCrops):
    """Crops that write down which of them are read."""

    def __init__(self, crops: np.ndarray) -> None:
        super().__init__(crops)
        self.rows: list[int] = []

    def read(self, rows: np.ndarray) -> np.ndarray:
        self.rows.extend(rows.tolist())
        return super().read(rows)


def test_first_crops_of_every_image_are_validated(tmp_path: Path) -> None:
    crops = ReadRows(pixels(VALIDATION))
    cells = LabelledCells(crops, VALIDATION.labels, images=np.repeat([4, 7, 9], [3, 5, 10]))
    train(tmp_path, epochs=1, cells=cells, validation={"sample_first_crops": True, "batch_size": 4})
    assert set(crops.rows) == {0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11}


def test_a_service_that_dies_does_not_take_the_training_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logged: list[Any] = []

    def log_metrics(values: dict[str, float], *, step: int, epoch: int) -> None:
        if epoch == 2:
            raise TimeoutError("comet.com does not answer")
        logged.append((epoch, sorted(values)))

    def start(**options: Any) -> Any:
        logged.append((options["api_key"], options["experiment_config"]["name"]))
        return SimpleNamespace(
            alive=True, get_key=lambda: "e1", log_parameters=logged.append, log_metrics=log_metrics
        )

    comet = ModuleType("comet_ml")
    vars(comet).update(start=start, ExperimentConfig=dict)
    monkeypatch.setitem(sys.modules, "comet_ml", comet)
    key = tmp_path / "comet.json"
    key.write_text(json.dumps({"log_type": "comet_ml", "api_key": "abc", "project_name": "screens"}))
    with caplog.at_level(logging.WARNING):
        outcome = train(tmp_path / "model", epochs=3, extra={"comet_key": key, "name": "my screen"})
    assert outcome.epochs == 3
    assert logged[0] == ("abc", "my screen")
    assert logged[1]["params.learning_rate"] == 0.01
    assert (logged[1]["training_cells"], logged[1]["crop_shape"]) == (51, f"[{BOX}, {BOX}, {CHANNELS}]")
    assert logged[2:] == [(1, ["accuracy", "learning_rate", "loss", "seconds", "val_accuracy", "val_loss"])]
    assert caplog.text.count("comet.com does not answer") == 1
    services = json.loads((tmp_path / "model" / "services.json").read_text())
    assert services == {"Comet": ["e1", 1]}
