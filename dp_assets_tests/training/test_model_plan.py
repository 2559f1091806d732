"""What models are made from: any change of it shows, and checkpoints are found where they may lie only."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.config.network import ArchitectureParameters, ArchitectureSettings
from dp_assets.config.sections import ImagesSettings, LocationsSettings, ProfileSettings, SingleCellsSettings
from dp_assets.config.stages import ProfilingSettings
from dp_assets.imaging.cropping import CropGeometry
from dp_assets.training.model_plan import ImportPlan, TrainingPlan, find_weights, learning_digest
from dp_assets.training.training_set import TrainingSet
from dp_assets_tests.training.synthetic import training_settings

RANGE = (np.zeros(2), np.ones(2))


def training_plan(**changes: Any) -> TrainingPlan:
    facts: dict[str, Any] = {
        "settings": training_settings(),
        "training_set": TrainingSet(pa.table({}), ("a", "b"), {}),
        "stores": {"P1": SimpleNamespace(fingerprint="x"), "P2": SimpleNamespace(fingerprint="y")},
        "geometry": CropGeometry(12),
        "plate_ranges": {},
    }
    return TrainingPlan(**{**facts, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": training_settings(epochs=4)},
        {"settings": training_settings(params={"learning_rate": 0.02})},
        {"stores": {"P1": SimpleNamespace(fingerprint="x"), "P2": SimpleNamespace(fingerprint="z")}},
        {"stores": {"P1": SimpleNamespace(fingerprint="x")}},
        {"plate_ranges": {"P1": RANGE}},
        {"precision": "mixed_bfloat16"},
    ],
)
def test_whatever_a_training_depends_on_shows(changes: dict[str, Any]) -> None:
    before = training_plan().fingerprint("cells")
    assert training_plan().fingerprint("cells") == before
    assert training_plan(**changes).fingerprint("cells") != before
    assert training_plan().fingerprint("other cells") != before


def test_pixels_alone_decide_the_fingerprint_of_the_crops() -> None:
    before = training_plan(plate_ranges={"P1": RANGE}).crops_fingerprint
    assert training_plan(plate_ranges={"P1": RANGE}, precision="x").crops_fingerprint == before
    brighter = (RANGE[0], RANGE[1] + 1)
    assert training_plan(plate_ranges={"P1": brighter}).crops_fingerprint != before
    reordered = dict(reversed(list(training_plan().stores.items())))
    assert training_plan(stores=reordered).crops_fingerprint == training_plan().crops_fingerprint


def import_plan(checkpoint: Path, **changes: Any) -> ImportPlan:
    settings = {
        "images": ImagesSettings(channels=("DNA", "RNA"), bits=16),
        "locations": LocationsSettings(box_size=16),
        "profile": ProfileSettings(feature_layer="features", checkpoint=checkpoint.name),
        "network": ArchitectureSettings(name="cnn", params=ArchitectureParameters(conv_blocks=2)),
    }
    return ImportPlan(ProfilingSettings(**{**settings, **changes}), checkpoint)


def test_whatever_an_imported_model_depends_on_shows(tmp_path: Path) -> None:
    file = tmp_path / "c.hdf5"
    file.write_bytes(b"weights")
    before = import_plan(file)
    assert import_plan(file).fingerprint == before.fingerprint
    same_model = ProfileSettings(feature_layer="other", checkpoint="c.hdf5", batch_size=7)
    assert import_plan(file, profile=same_model).fingerprint == before.fingerprint
    for changes in (
        {"locations": LocationsSettings(box_size=18)},
        {"images": ImagesSettings(channels=("RNA", "DNA"), bits=16)},
        {"single_cells": SingleCellsSettings(normalization="zscore")},
        {"network": ArchitectureSettings(name="cnn", params=ArchitectureParameters(conv_blocks=3))},
    ):
        assert import_plan(file, **changes).fingerprint != before.fingerprint
    assert replace(before, precision="mixed_bfloat16").fingerprint != before.fingerprint
    then = before.fingerprint
    file.write_bytes(b"other weights")
    assert import_plan(file).fingerprint != then


def test_checkpoints_are_found_in_order(tmp_path: Path) -> None:
    folders = [tmp_path / "checkpoint", tmp_path / "pretrained"]
    for folder in folders:
        (folder / "deep").mkdir(parents=True)
    (folders[1] / "c.hdf5").write_bytes(b"")
    (folders[1] / "deep" / "d.hdf5").write_bytes(b"")
    assert find_weights("c.hdf5", folders) == folders[1] / "c.hdf5"
    assert find_weights("deep/d.hdf5", folders) == folders[1] / "deep" / "d.hdf5"
    (folders[0] / "c.hdf5").write_bytes(b"")
    assert find_weights("c.hdf5", folders) == folders[0] / "c.hdf5"
    for name in ("e.hdf5", "deep", ""):
        with pytest.raises(ModelError, match="there is no checkpoint") as caught:
            find_weights(name, folders)
        assert all(str(folder / name) in caught.value.problems[0].remedy for folder in folders)


@pytest.mark.parametrize("name", ["../c.hdf5", "deep/../../c.hdf5", "..\\c.hdf5", "{}/c.hdf5"])
def test_checkpoints_outside_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "pretrained"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "c.hdf5").write_bytes(b"")
    with pytest.raises(ModelError, match="leads out of the folders") as caught:
        find_weights(name.format(tmp_path), [folder])
    assert caught.value.problems[0].where == "profile.checkpoint"


def test_how_crops_are_read_decides_nothing() -> None:
    settings = training_settings()
    hurried = settings.model_copy(
        update={
            "sampling": settings.sampling.model_copy(update={"workers": 7, "cache_size": 9}),
            "images": settings.images.model_copy(update={"width": 4321, "file_format": "png"}),
        }
    )
    assert learning_digest(hurried) == learning_digest(settings)
    halved = settings.sampling.model_copy(update={"factor": 0.5})
    assert learning_digest(settings.model_copy(update={"sampling": halved})) != learning_digest(settings)
    renamed = settings.images.model_copy(update={"channels": ("other",)})
    assert learning_digest(settings.model_copy(update={"images": renamed})) != learning_digest(settings)
