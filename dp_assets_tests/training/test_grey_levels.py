"""Trainings on grey levels, normalised in the step, are those on crops that were normalised before."""

import importlib.util
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dp_assets.imaging.normalization import Normalization
from dp_assets.training.assembly import Trainee, assemble
from dp_assets.training.cells import LabelledCells
from dp_assets.training.identity import training_identity
from dp_assets.training.lesson import plan_lesson
from dp_assets.training.model_loading import load_trained_network
from dp_assets.training.normalized_crops import normalized, normalized_cells
from dp_assets.training.one_epoch import Draw, fit_epoch
from dp_assets.training.outcome import TrainingOutcome
from dp_assets.training.targets import Goal, targets_of
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

METHODS: tuple[Normalization, ...] = ("minmax", "zscore", "plate", "none")


def grey_cells(
    method: Normalization, dtype: str, counts: tuple[int, ...] = (20, 14, 17), seed: int = 0
) -> LabelledCells:
    """The synthetic cells as grey levels of two plates that differ in brightness."""
    cells = labelled_cells(counts, seed)
    bright = np.where(np.arange(len(cells)) % 2, 1.0, 0.7)
    # Without normalisation a network is given such numbers as they are.
    top = 3 if method == "none" else 255 if dtype == "uint8" else 40_000
    grey = pixels(cells) * top * bright[:, None, None, None]
    limits = np.array([0.05, 0.95]) * top * bright[:, None]
    ranges = np.repeat(limits[:, :, None], CHANNELS, axis=2).astype(np.float32)
    crops = ArrayCrops(grey.astype(dtype), method, ranges if method == "plate" else None)
    return LabelledCells(crops, cells.labels)


def train(
    folder: Path,
    cells: LabelledCells,
    validation: LabelledCells | None,
    **settings: Any,
) -> TrainingOutcome:
    return train_network(
        settings=training_settings(**settings),
        heads=HEADS,
        training=cells,
        validation=validation,
        folder=folder,
    )


def trained_both_ways(folder: Path, method: Normalization, dtype: str, **settings: Any) -> list[pd.DataFrame]:
    """The histories of a training on grey levels, and of one on the same crops normalised before."""
    cells, judged = grey_cells(method, dtype), grey_cells(method, dtype, (6, 6, 6), seed=1)
    raw = train(folder / "raw", cells, judged, **settings)
    before = train(folder / "before", normalized_cells(cells), normalized_cells(judged), **settings)
    return [curve(raw.history), curve(before.history)]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("method", METHODS)
def test_who_normalises_makes_no_difference(tmp_path: Path, method: Normalization, dtype: str) -> None:
    raw, before = trained_both_ways(tmp_path, method, dtype, epochs=3)
    pd.testing.assert_frame_equal(raw, before, rtol=2e-3)
    assert raw["loss"].iloc[-1] < raw["loss"].iloc[0]
    # What is kept is a network of normalised crops.
    cells = grey_cells(method, dtype, (6, 6, 6), seed=1)
    network = load_trained_network(tmp_path / "raw")
    said = network.predict(pixels(normalized_cells(cells)), verbose=0)
    assert "normalization" not in {layer.name for layer in network.layers}
    assert np.mean(said.argmax(axis=1) == cells.labels) == pytest.approx(raw["val_accuracy"].iloc[-1])


@pytest.mark.parametrize("method", ["minmax", "plate"])
def test_online_labels_follow_predictions_for_grey_levels(tmp_path: Path, method: Normalization) -> None:
    settings = {"epochs": 2, "crop_generator": "online_labels_cropgen", "params": {"online_lambda": 0.5}}
    raw, before = trained_both_ways(tmp_path, method, "uint16", **settings)
    pd.testing.assert_frame_equal(raw, before, rtol=2e-3)
    labels = [np.load(tmp_path / name / "soft_labels/state_0002.npy") for name in ("raw", "before")]
    np.testing.assert_allclose(*labels, atol=1e-3)
    assert labels[0].std(axis=0).min() > 0.01


def test_reconstruction_is_of_normalised_crops(tmp_path: Path) -> None:
    raw, before = trained_both_ways(
        tmp_path, "minmax", "uint16", epochs=2, name="autoencoder", params={"conv_blocks": 1}
    )
    pd.testing.assert_frame_equal(raw, before, rtol=2e-3)
    assert raw["loss"].max() < 1, "grey levels would be off by millions"


def test_an_interrupted_training_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    run = partial(
        train,
        cells=grey_cells("plate", "uint16"),
        validation=grey_cells("plate", "uint16", (6, 6, 6), seed=1),
        epochs=3,
        augmentations=True,
    )
    interrupt(run, tmp_path / "cut", "fit_epoch", 2, after=True)
    folders = (tmp_path / "cut", tmp_path / "whole")
    outcomes = (run(folders[0]), run(folders[1]))
    assert (outcomes[0].resumed_from, outcomes[1].resumed_from) == (1, 0)
    assert_same_training(folders, outcomes)


def test_who_normalises_is_part_of_the_identity() -> None:
    cells = grey_cells("minmax", "uint16")
    settings = training_settings()
    made = [
        training_identity(settings, HEADS, some, None, "float32", "pixels")
        for some in (cells, normalized_cells(cells), grey_cells("zscore", "uint16"))
    ]
    assert len(set(made)) == 3
    nothing_left = grey_cells("none", "uint16")
    assert training_identity(settings, HEADS, nothing_left, None, "float32", "pixels") == made[1]


def test_feed_plugins_are_given_normalised_crops(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("FEEDS = {'mine': lambda crops, labels, generator: crops}\n")
    cells, judged = grey_cells("plate", "uint16"), grey_cells("plate", "uint16", (6, 6, 6), seed=1)
    lesson = plan_lesson(training_settings(crop_generator="mine"), HEADS, cells, judged, tmp_path)
    for given, source in ((lesson.training, cells), (lesson.validation, judged)):
        assert given is not None
        assert given.crops.normalization == "none"
        assert pixels(given).dtype == np.float32
        assert pixels(given).min() == 0
        assert 0.9 < pixels(given).max() <= 1
        assert given.crops.ranges(np.arange(2)) is None
        np.testing.assert_array_equal(given.labels, source.labels)
    plain = plan_lesson(training_settings(), HEADS, cells, judged, tmp_path)
    assert (plain.training, plain.validation) == (cells, judged)


def test_cells_of_later_epochs_are_normalised_too() -> None:
    cells = grey_cells("minmax", "uint8")
    later = normalized_cells(LabelledCells(cells.crops, cells.labels, renew=lambda _: cells)).in_epoch(3)
    assert later.crops.normalization == "none"
    np.testing.assert_array_equal(pixels(later), pixels(normalized_cells(cells)))


def test_a_source_that_is_normalised_is_left_alone() -> None:
    assert normalized(labelled_cells().crops).read(np.arange(2)).dtype == np.float32
    ready = ArrayCrops(pixels(labelled_cells()))
    assert normalized(ready) is ready
    assert normalized(normalized(grey_cells("minmax", "uint8").crops)).shape == (BOX, BOX, CHANNELS)


def test_training_and_validation_that_differ_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"that need 'minmax' like those of training\. Received 'none'"):
        train(tmp_path, grey_cells("minmax", "uint8"), labelled_cells((6, 6, 6)))


def seen_by_the_step(method: Normalization, dtype: str) -> tuple[Trainee, list[str], float]:
    """Train an epoch; the trainee, the types that reached the compiled step, and the loss."""
    cells = grey_cells(method, dtype)
    trainee = assemble(
        training_settings(),
        heads=HEADS,
        goal=Goal.CLASSES,
        shape=cells.crops.shape,
        normalization=method,
        dtype_policy="float32",
        xla=False,
        published_weights=False,
    )
    seen: list[str] = []
    step = trainee.model.train_step

    def watched(*arguments: Any) -> Any:
        shown, _ = arguments[-1]
        seen.extend(_name(part.dtype) for part in _parts(shown))
        return step(*arguments)

    trainee.model.train_step = watched
    rows = np.arange(48)
    loss = fit_epoch(trainee, Draw(cells, rows, targets_of(cells, HEADS, Goal.CLASSES), 8, 2))["loss"]
    return trainee, seen, loss


def _name(dtype: Any) -> str:
    """Of a type of numpy or of a framework."""
    return str(getattr(dtype, "name", dtype))


def _parts(shown: Any) -> list[Any]:
    return list(shown) if isinstance(shown, (tuple, list)) else [shown]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("method", ["minmax", "plate"])
def test_grey_levels_reach_the_device_as_they_are(method: Normalization, dtype: str) -> None:
    cells = grey_cells(method, dtype)
    with Draw(cells, np.arange(16), targets_of(cells, HEADS, Goal.CLASSES), 8, 2).feed() as feed:
        shown = _parts(feed[0][0])
    assert [part.dtype for part in shown] == [dtype] + ["float32"] * (method == "plate")
    np.testing.assert_array_equal(shown[0], pixels(cells)[:8])
    _, seen, _ = seen_by_the_step(method, dtype)
    assert set(seen) == {dtype} | ({"float32"} if method == "plate" else set())


PROGRAM = """
import json, sys
from dp_assets.networks.accelerator import AcceleratorSettings, configure_accelerator
configure_accelerator(AcceleratorSettings(devices="cpu", deterministic=True))
import keras
assert keras.backend.backend() == "jax" and "tensorflow" not in sys.modules
from pathlib import Path
from dp_assets_tests.training.test_grey_levels import seen_by_the_step, trained_both_ways
found = {}
for method, dtype in (("minmax", "uint16"), ("plate", "uint8")):
    found[method] = sorted(set(seen_by_the_step(method, dtype)[1]))
    raw, before = trained_both_ways(Path(sys.argv[1]) / method, method, dtype, epochs=3)
    found[method + " losses"] = [raw["loss"].tolist(), before["loss"].tolist()]
online = {"epochs": 2, "crop_generator": "online_labels_cropgen"}
raw, before = trained_both_ways(Path(sys.argv[1]) / "online", "plate", "uint16", **online)
found["online losses"] = [raw["val_loss"].tolist(), before["val_loss"].tolist()]
print(json.dumps(found))
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_jax_trains_on_grey_levels(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["minmax"], found["plate"]) == (["uint16"], ["float32", "uint8"])
    for name in ("minmax losses", "plate losses", "online losses"):
        np.testing.assert_allclose(*found[name], rtol=2e-3)
    assert found["minmax losses"][0][-1] < found["minmax losses"][0][0]
