"""Training runs: what they learn, what they leave, and that interrupted ones end as undisturbed ones do."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from dp_assets.config.errors import DeviceError, ModelError, StoreError
from dp_assets.training import schedules, training_run
from dp_assets.training.assembly import assemble
from dp_assets.training.cells import LabelledCells
from dp_assets.training.identity import training_identity
from dp_assets.training.model_loading import load_trained_network
from dp_assets.training.one_epoch import Draw, fit_epoch
from dp_assets.training.outcome import EpochReport, TrainingOutcome
from dp_assets.training.resume_state import read_progress
from dp_assets.training.targets import CropTargets, Goal
from dp_assets.training.trainer import train_network
from dp_assets_tests.training.interruptions import assert_same_training, curve, interrupt
from dp_assets_tests.training.synthetic import (
    BOX,
    CHANNELS,
    HEADS,
    ArrayCrops,
    labelled_cells,
    pixels,
    training_settings,
)

TRAINING = labelled_cells()
VALIDATION = labelled_cells((6, 6, 6), seed=1)


def train(folder: Path, *, progress: Any = None, content: str = "", **settings: Any) -> TrainingOutcome:
    """Train on the synthetic cells; keyword arguments go to `train.model`."""
    return train_network(
        settings=training_settings(**settings),
        heads=HEADS,
        training=TRAINING,
        validation=VALIDATION,
        folder=folder,
        content=content,
        progress=progress,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingOutcome, list[EpochReport]]:
    """A finished training of eight epochs, enough to learn the task."""
    folder = tmp_path_factory.mktemp("model")
    reports: list[EpochReport] = []
    outcome = train(
        folder,
        epochs=8,
        augmentations=True,
        metrics=["accuracy", "top_k", "average_class_precision"],
        validation={"frequency": 3, "top_k": 2},
        checkpoint_policy=3,
        progress=reports.append,
    )
    return folder, outcome, reports


def test_learns(trained: tuple[Path, TrainingOutcome, list[EpochReport]]) -> None:
    history = trained[1].history
    assert history["loss"].iloc[-1] < 0.8 * history["loss"].iloc[0]
    assert history["accuracy"].iloc[-1] > 0.6


def test_history_and_reports(trained: tuple[Path, TrainingOutcome, list[EpochReport]]) -> None:
    _, outcome, reports = trained
    history = outcome.history
    measured = ["accuracy", "average_class_precision", "top_k"]
    assert history.columns[0] == "epoch"
    assert list(history.columns[-2:]) == ["learning_rate", "seconds"]
    assert sorted(history.columns[1:-2]) == sorted(
        ["loss", *measured, "val_loss", *(f"val_{m}" for m in measured)]
    )
    assert history["epoch"].tolist() == list(range(1, 9))
    # every third epoch and the last
    assert history["val_loss"].notna().tolist() == [False, False, True, False, False, True, False, True]
    assert outcome.best_epoch == 1 + int(np.nanargmin(history["val_loss"]))
    assert (outcome.epochs, outcome.resumed_from) == (8, 0)
    assert [report.epoch for report in reports] == list(range(1, 9))
    assert {(report.epochs, report.cells) for report in reports} == {(8, 51)}, "3 classes of median 17 cells"
    assert reports[2].values["val_loss"] == history["val_loss"][2]
    assert "val_loss" not in reports[0].values


def test_folder(trained: tuple[Path, TrainingOutcome, list[EpochReport]]) -> None:
    folder, outcome, _ = trained
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    (events,) = (name for name in names if name.startswith("tensorboard/"))
    checkpoints = [f"checkpoint_000{n}.weights.h5" for n in (3, 6, 8)]
    assert names == {
        "model.keras", "log.csv", "resume.npz", events, *(f"checkpoints/{name}" for name in checkpoints)
    }  # fmt: skip
    assert outcome.checkpoints == tuple(checkpoints)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "log.csv"), outcome.history)
    assert b"val_loss" in (folder / events).read_bytes()


def test_saved_network_takes_crops_to_probabilities(
    trained: tuple[Path, TrainingOutcome, list[EpochReport]],
) -> None:
    folder, outcome, _ = trained
    network = load_trained_network(folder)
    assert network.input_shape == (None, BOX, BOX, CHANNELS)
    assert network.output_names == ["Treatment"]
    probabilities = network.predict(pixels(VALIDATION), verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    # The validation epoch holds each cell once here, so accuracy and loss can be had from the saved network.
    truth = probabilities[np.arange(18), VALIDATION.labels]
    last = outcome.history.iloc[-1]
    assert np.mean(probabilities.argmax(axis=1) == VALIDATION.labels) == pytest.approx(last["val_accuracy"])
    assert -np.log(truth).mean() == pytest.approx(last["val_loss"], rel=1e-4)


@pytest.mark.parametrize("name", ["checkpoint_0003", "checkpoint_0003.hdf5", "checkpoint_0003.weights.h5"])
def test_checkpoints_load_by_name(
    trained: tuple[Path, TrainingOutcome, list[EpochReport]], name: str
) -> None:
    folder, outcome, _ = trained
    network = load_trained_network(folder, name)
    probabilities = network.predict(pixels(VALIDATION), verbose=0)
    truth = probabilities[np.arange(18), VALIDATION.labels]
    assert -np.log(truth).mean() == pytest.approx(outcome.history["val_loss"][2], rel=1e-4)


def test_missing_checkpoint_names_those_there_are(
    trained: tuple[Path, TrainingOutcome, list[EpochReport]],
) -> None:
    with pytest.raises(ModelError, match=r"'checkpoint_0004.hdf5'[\s\S]*checkpoint_0003, checkpoint_0006"):
        load_trained_network(trained[0], "checkpoint_0004.hdf5")


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no trained network"):
        load_trained_network(tmp_path)


def test_damaged_model(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK half a model")
    with pytest.raises(ModelError, match=r"model\.keras.*cannot be read"):
        load_trained_network(tmp_path)


def test_finished_training_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(tmp_path, epochs=2)
    monkeypatch.setattr(training_run, "fit_epoch", lambda *_: pytest.fail("trained again"))
    again = train(tmp_path, epochs=2)
    assert again.resumed_from == 2
    pd.testing.assert_frame_equal(again.history, first.history)
    assert again.checkpoints == first.checkpoints


AUGMENTED = {"epochs": 4, "augmentations": True, "lr_schedule": {"epoch": [1, 3], "lr": [0.02, 0.001]}}
PLATEAU = {
    "epochs": 5,
    "lr_schedule": "plateau",
    "checkpoint_policy": "best",
    "params": {"learning_rate": 1.0},
}


@pytest.mark.parametrize(
    ("settings", "interruptions"),
    [
        (
            AUGMENTED,
            [
                ("write_checkpoint", 1, True, 0),
                ("fit_epoch", 2, True, 1),
                ("save_state", 1, True, 2),
                ("remove_checkpoints", 1, False, 3),
                ("save_network", 1, False, 4),
            ],
        ),
        (PLATEAU, [("validate", 4, True, 3)]),
    ],
    ids=["augmented", "plateau, best"],
)
def test_interrupted_training_ends_as_an_undisturbed_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    interruptions: list[tuple[str, int, bool, int]],
) -> None:
    monkeypatch.setattr(schedules, "PLATEAU_PATIENCE", 1)

    def run(folder: Path) -> TrainingOutcome:
        return train(folder, **settings)

    for place, call, after, finished in interruptions:
        interrupt(run, tmp_path / "a", place, call, after=after)
        progress = read_progress(tmp_path / "a" / "resume.npz")
        assert (progress.epochs if progress else 0) == finished
    outcome, expected = run(tmp_path / "a"), run(tmp_path / "b")

    assert outcome.resumed_from == interruptions[-1][-1]
    assert_same_training((tmp_path / "a", tmp_path / "b"), (outcome, expected))
    assert not list(tmp_path.rglob(".*"))
    if settings is PLATEAU:
        assert expected.history["learning_rate"].nunique() > 1, "the rate must fall, or nothing is tested"


def run_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-m", "dp_assets_tests.training.killed_run", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
        timeout=120,
    )


def test_killed_process_resumes_bit_for_bit(tmp_path: Path) -> None:
    killed = run_process(str(tmp_path / "killed"), "--die")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "killed" / "model.keras").exists()
    assert len(pd.read_csv(tmp_path / "killed" / "log.csv")) == 2, "died in epoch 3"
    resumed = run_process(str(tmp_path / "killed"), str(tmp_path / "undisturbed"))
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.splitlines()[-2:] == ["resumed after 2", "resumed after 0"]

    logs = [pd.read_csv(tmp_path / name / "log.csv") for name in ("killed", "undisturbed")]
    assert len(logs[0]) == 4
    pd.testing.assert_frame_equal(curve(logs[0]), curve(logs[1]), check_exact=True)
    networks = [load_trained_network(tmp_path / name) for name in ("killed", "undisturbed")]
    for mine, theirs in zip(networks[0].weights, networks[1].weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    labels = [sorted((tmp_path / name / "soft_labels").iterdir()) for name in ("killed", "undisturbed")]
    assert [path.name for path in labels[0]] == [f"000{n}.csv" for n in range(1, 5)] + ["state_0004.npy"]
    for mine, theirs in zip(*labels, strict=True):
        assert mine.read_bytes() == theirs.read_bytes()


def test_more_epochs_go_on_where_the_former_ended(tmp_path: Path) -> None:
    train(tmp_path / "a", epochs=2)
    longer = train(tmp_path / "a", epochs=4)
    assert longer.resumed_from == 2
    at_once = train(tmp_path / "b", epochs=4)
    pd.testing.assert_frame_equal(curve(longer.history), curve(at_once.history), rtol=1e-5)


def identity(
    *,
    heads: Any = HEADS,
    cells: LabelledCells = TRAINING,
    policy: str = "float32",
    content: str = "",
    started_from: str = "",
    channels: tuple[str, ...] = ("DNA", "ER"),
    **settings: Any,
) -> str:
    wanted = training_settings(**settings)
    wanted = wanted.model_copy(update={"images": wanted.images.model_copy(update={"channels": channels})})
    return training_identity(wanted, heads, cells, VALIDATION, policy, content, started_from)


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"learning_rate": 0.02}},
        {"seed": 1},
        {"metrics": ["top_k"]},
        {"validation": {"frequency": 2}},
        {"lr_schedule": {"epoch": [1], "lr": [0.1]}},
        {"cells": labelled_cells(seed=5)},
        {"cells": LabelledCells(TRAINING.crops, TRAINING.labels, images=TRAINING.labels)},
        {"policy": "mixed_bfloat16"},
        {"content": "other pixels"},
        {"channels": ("ER", "DNA")},
        {"started_from": "a checkpoint"},
        {"heads": (("Treatment", ("dark", "left", "right")),)},
        {"heads": (("Gene", HEADS[0][1]),)},
        {"crop_generator": "online_labels_cropgen"},
        {"params": {"online_lambda": 0.5}},
        {"callbacks": ["TerminateOnNaN"]},
    ],
    ids=lambda change: "-".join(change),
)
def test_what_changes_the_curve_is_another_training(change: dict[str, Any]) -> None:
    assert identity(**change) != identity()


def test_what_does_not_change_the_curve() -> None:
    assert identity(epochs=9, checkpoint_policy="best") == identity(epochs=2)
    assert identity(epochs=9, lr_schedule="cosine") != identity(epochs=2, lr_schedule="cosine")


def test_another_training_starts_afresh(tmp_path: Path) -> None:
    first = train(tmp_path, epochs=2)
    other = train(tmp_path, epochs=1, seed=1)
    assert (other.resumed_from, other.epochs, other.checkpoints) == (0, 1, first.checkpoints[:1])
    assert other.history["loss"][0] != pytest.approx(first.history["loss"][0], rel=1e-4)


def loss_of(box: int, **settings: Any) -> tuple[float, np.ndarray, np.ndarray, keras.Model]:
    """The loss of an untrained network on six crops, with its predictions, the labels and the network."""
    trainee = assemble(
        training_settings(**settings),
        heads=HEADS,
        goal=Goal.CLASSES,
        shape=(box, box, 2),
        normalization="none",
        dtype_policy="float32",
        xla=False,
        published_weights=True,
    )
    crops = np.random.default_rng(0).random((6, box, box, 2), np.float32)
    labels = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    loss = trainee.model.evaluate(crops, labels, verbose=0, return_dict=True)["loss"]
    return loss, trainee.network.predict_on_batch(crops), labels, trainee.network


def test_efficientnet_smooths_labels_and_decays_weights() -> None:
    loss, probabilities, labels, network = loss_of(
        32, name="efficientnet", augmentations=False, params={"conv_blocks": 0, "label_smoothing": 0.3}
    )
    entropy = -np.mean(np.sum((labels * 0.7 + 0.1) * np.log(probabilities), axis=1))
    kernels = [
        np.asarray(layer.kernel)
        for layer in network.layers
        if isinstance(layer, keras.layers.Dense) or type(layer) is keras.layers.Conv2D
    ]
    decay = sum(1e-5 * np.sum(np.square(kernel, dtype=np.float64)) for kernel in kernels)
    assert loss == pytest.approx(entropy + decay, rel=1e-4)


def test_cnn_neither_smooths_nor_decays() -> None:
    loss, probabilities, labels, _ = loss_of(12, params={"label_smoothing": 0.3})
    assert loss == pytest.approx(-np.mean(np.sum(labels * np.log(probabilities), axis=1)), rel=1e-4)


def test_learning_rate_is_the_one_in_use(tmp_path: Path) -> None:
    still = train(tmp_path, epochs=2, lr_schedule={"epoch": [0, 1], "lr": [0.01, 1e-30]})
    assert still.history["learning_rate"].tolist() == [0.01, 1e-30]
    first, second = (load_trained_network(tmp_path, f"checkpoint_000{n}") for n in (1, 2))
    for one, two in zip(first.trainable_weights, second.trainable_weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-7)


def test_loss_that_is_not_a_number_stops_and_keeps_the_epochs_before(tmp_path: Path) -> None:
    spoilt = pixels(TRAINING).copy()
    cells = LabelledCells(ArrayCrops(spoilt), TRAINING.labels)

    def spoil(report: EpochReport) -> None:
        if report.epoch == 2:
            spoilt[:] = np.nan

    with pytest.raises(ModelError, match=r"step \d+ of 7 \(learning rate 0\.01\)[\s\S]*learning_rate"):
        train_network(
            settings=training_settings(epochs=4),
            heads=HEADS,
            training=cells,
            validation=None,
            folder=tmp_path,
            progress=spoil,
        )
    assert len(pd.read_csv(tmp_path / "log.csv")) == 2
    with np.load(tmp_path / "resume.npz") as state:
        assert len(json.loads(state["progress"].tobytes())["history"]) == 2
        assert all(np.isfinite(state[name]).all() for name in state.files)


def test_weights_that_the_last_batch_spoilt_are_noticed(tmp_path: Path) -> None:
    # One batch an epoch: the loss is taken before the step that ruins the weights.
    with pytest.raises(ModelError, match="weights of the network became infinite or not a number"):
        train_network(
            settings=training_settings(epochs=1, params={"learning_rate": 1e39, "batch_size": 64}),
            heads=HEADS,
            training=TRAINING,
            validation=None,
            folder=tmp_path,
        )
    assert not list(tmp_path.rglob("*.npz"))
    assert not list(tmp_path.rglob("checkpoint_*"))


class DamagedCrops(ArrayCrops):
    """Crops of which one cannot be read."""

    def read(self, rows: np.ndarray) -> np.ndarray:
        if 7 in rows:
            raise StoreError("the chunk is damaged", where="single_cells/box96", remedy="export again")
        return super().read(rows)


def test_errors_of_the_crop_source_come_out_unchanged(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the chunk is damaged") as caught:
        train_network(
            settings=training_settings(),
            heads=HEADS,
            training=LabelledCells(DamagedCrops(pixels(TRAINING)), TRAINING.labels),
            validation=None,
            folder=tmp_path,
        )
    assert caught.value.__cause__ is None


def test_too_little_memory_names_the_batch_size() -> None:
    class ResourceExhaustedError(Exception):
        """As TensorFlow calls it."""

    def fit(*_: Any, **__: Any) -> None:
        raise ResourceExhaustedError("OOM when allocating tensor")

    trainee = SimpleNamespace(model=SimpleNamespace(fit=fit))
    draw = Draw(TRAINING, np.arange(10), CropTargets(), batch_size=8, workers=1)
    with pytest.raises(
        DeviceError, match="not enough memory for batches of 8 crops of 12 x 12 pixels and 2 ch"
    ):
        fit_epoch(trainee, draw)  # type: ignore[arg-type]


def test_trains_without_validation_cells(tmp_path: Path) -> None:
    outcome = train_network(
        settings=training_settings(epochs=1),
        heads=HEADS,
        training=TRAINING,
        validation=LabelledCells(ArrayCrops(pixels(TRAINING)[:0]), TRAINING.labels[:0]),
        folder=tmp_path,
    )
    assert outcome.best_epoch is None
    assert list(outcome.history.columns) == ["epoch", "accuracy", "loss", "learning_rate", "seconds"]


def test_half_precision_scales_the_loss(tmp_path: Path) -> None:
    outcome = train_network(
        settings=training_settings(epochs=1),
        heads=HEADS,
        training=TRAINING,
        validation=None,
        folder=tmp_path,
        dtype_policy="mixed_float16",
    )
    assert outcome.history["loss"][0] < 3
    with np.load(tmp_path / "resume.npz") as state:
        assert 2.0**15 in [float(a) for a in state.values() if a.shape == ()], "the scale of the loss is kept"
