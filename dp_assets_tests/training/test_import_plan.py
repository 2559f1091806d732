"""What an imported model is made from: any change of it shows, and the network's input follows from it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dp_assets.storage.checkpoint_card import CheckpointCard
from dp_assets.training import import_plan
from dp_assets.training.import_plan import ImportPlan
from dp_assets_tests.profiling_settings import STRETCHED, profiling_settings

REPEATING = "repeat_channel_crop_generator"


def plan_of(checkpoint: Path | None, **settings: Any) -> ImportPlan:
    return ImportPlan(profiling_settings(**settings), checkpoint)


def test_whatever_an_imported_model_depends_on_shows(tmp_path: Path) -> None:
    file = tmp_path / "c.hdf5"
    file.write_bytes(b"weights")
    before = plan_of(file)
    assert plan_of(file).fingerprint == before.fingerprint
    changed = [
        plan_of(file, box_size=18),
        ImportPlan(profiling_settings("RNA", "DNA"), file),
        plan_of(file, cells={"normalization": "zscore"}),
        plan_of(file, cells={"sampling": "exact"}),
        plan_of(file, conv_blocks=3),
        plan_of(file, network="resnet"),
        plan_of(file, mask_objects=True),
        plan_of(file, mode="full_image", view_size=64),
        plan_of(file, compression=STRETCHED),
        plan_of(file, input_size=32),
        plan_of(file, crop_generator=REPEATING),
        replace(before, precision="mixed_bfloat16"),
        replace(before, card=CheckpointCard(normalization="minmax")),
        ImportPlan(before.settings, None),
    ]
    prints = [before.fingerprint, *(plan.fingerprint for plan in changed)]
    assert len(set(prints)) == len(prints)
    file.write_bytes(b"other weights")
    assert plan_of(file).fingerprint not in prints


def test_what_an_imported_model_does_not_depend_on(tmp_path: Path) -> None:
    file = tmp_path / "c.hdf5"
    file.write_bytes(b"weights")
    before = plan_of(file)
    settings = before.settings
    for changes in (
        {"profile": settings.profile.model_copy(update={"feature_layer": "other", "batch_size": 7})},
        {"images": settings.images.model_copy(update={"width": 4321, "file_format": "png"})},
        {"single_cells": settings.single_cells.model_copy(update={"margin": 3, "name": "cells"})},
        {"model": settings.model.model_copy(update={"allow_channel_mapping": True})},
    ):
        plan = ImportPlan(settings.model_copy(update=changes), file)
        assert plan.fingerprint == before.fingerprint
    (tmp_path / "moved.hdf5").write_bytes(b"weights")
    assert plan_of(tmp_path / "moved.hdf5").fingerprint == before.fingerprint


def test_the_weights_of_imagenet_are_a_file_or_those_of_this_keras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(None)
    local = tmp_path / "notop.h5"
    local.write_bytes(b"weights")
    with_file = replace(plan, imagenet_weights=local)
    assert (plan.source, with_file.source, plan_of(local).source) == ("imagenet", "imagenet", "checkpoint")
    prints = [plan.fingerprint, with_file.fingerprint]
    local.write_bytes(b"others")
    prints.append(with_file.fingerprint)
    monkeypatch.setattr(import_plan, "version", lambda package: f"9 of {package}")
    prints.append(plan.fingerprint)
    assert len(set(prints)) == 4
    assert with_file.fingerprint == prints[2]


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({}, (16, 16, 2)),
        ({"input_size": 64}, (64, 64, 2)),
        ({"crop_generator": REPEATING}, (224, 224, 3)),
        ({"crop_generator": REPEATING, "network": "inception_resnet_v2"}, (299, 299, 3)),
        ({"crop_generator": REPEATING, "network": "inception_resnet_v2", "input_size": 80}, (80, 80, 3)),
    ],
)
def test_the_input_of_the_network(settings: dict[str, Any], shape: tuple[int, int, int]) -> None:
    assert plan_of(None, **settings).input_shape == shape


def test_the_card_says_how_many_channels_the_weights_take() -> None:
    card = CheckpointCard(channels=("DNA", "RNA", "ER", "AGP", "Mito"))
    assert replace(plan_of(Path("c.hdf5")), card=card).input_shape == (16, 16, 5)
    assert replace(plan_of(Path("c.hdf5")), card=CheckpointCard(box_size=16)).input_shape == (16, 16, 2)
