"""Weights from elsewhere become model folders that profiling can trust."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.config.experiment import load_experiment
from dp_assets.networks.legacy_checkpoint import write_legacy_checkpoint
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets.storage.checkpoint_card import CheckpointCard
from dp_assets.storage.folders import publish_folder
from dp_assets.storage.model_folder import ModelFolder
from dp_assets.training.import_plan import ImportPlan
from dp_assets.training.model_import import import_model
from dp_assets.training.model_loading import load_trained_network
from dp_assets_tests.networks.published_weights import (
    FAMILIES,
    published_network,
    rename_layers,
    with_top,
    write_published,
)
from dp_assets_tests.profiling_settings import STRETCHED, profiling_settings

REPEATING = "repeat_channel_crop_generator"


def cnn_checkpoint(folder: Path, **changes: Any) -> keras.Model:
    """A small network with weights of its own, and its checkpoint in `folder`."""
    facts = {"name": "cnn", "input_shape": (16, 16, 2), "classes": 3, "conv_blocks": 2, "feature_dim": 6}
    network = build_network(NetworkRequest(**{**facts, "target": "Treatment", "seed": 5, **changes}))
    network.save_weights(folder / "c.weights.h5")
    return network


def plan_of(folder: Path, *channels: str, **settings: Any) -> ImportPlan:
    return ImportPlan(profiling_settings(*channels, **settings), folder / "c.weights.h5")


def published(folder: Path, plan: ImportPlan) -> ModelFolder:
    publish_folder(folder / "model", import_model(plan)[0])
    return ModelFolder.open(folder / "model")


def test_a_checkpoint_becomes_a_model_with_a_card(tmp_path: Path) -> None:
    network = cnn_checkpoint(tmp_path)
    plan = plan_of(tmp_path, compression=STRETCHED)
    writer, report = import_model(plan)
    assert (report.missing, report.skipped) == ((), ())
    publish_folder(tmp_path / "model", writer)
    model = ModelFolder.open(tmp_path / "model")
    card = model.card
    assert model.fingerprint == plan.fingerprint
    assert (card.source, card.checkpoint) == ("checkpoint", "c.weights.h5")
    assert (card.network, card.conv_blocks, card.input_size) == ("cnn", 2, 16)
    assert (card.channels, card.box_size, card.bits, card.classes) == (("DNA", "RNA"), 16, 8, ())
    assert (card.normalization, card.sampling, card.trained_on) == ("minmax", "original", None)
    assert (card.repeats_channels, card.augmented) == (False, False)
    assert model.folder.manifest["layers_loaded"] == len(report.loaded) == 6
    crops = np.random.default_rng(0).random((4, 16, 16, 2), np.float32)
    loaded = load_trained_network(tmp_path / "model")
    for layer in ("features", "Treatment"):
        expected, found = (
            keras.Model(model.inputs[0], model.get_layer(layer).output)(crops) for model in (network, loaded)
        )
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_all_heads_of_a_checkpoint_are_there(tmp_path: Path) -> None:
    network = cnn_checkpoint(tmp_path, more_heads=(("Dose", 4), ("Plate", 2)))
    published(tmp_path, plan_of(tmp_path))
    loaded = load_trained_network(tmp_path / "model")
    for name in ("Treatment", "Dose", "Plate"):
        for mine, theirs in zip(
            loaded.get_layer(name).get_weights(), network.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)


def test_a_head_that_cannot_be_filled_is_not_there(tmp_path: Path) -> None:
    """Random numbers would look like class probabilities."""
    write_legacy_checkpoint(cnn_checkpoint(tmp_path), tmp_path / "c.weights.h5")
    rename_layers(tmp_path / "c.weights.h5", {"Treatment": "my treatment"})
    card = published(tmp_path, plan_of(tmp_path)).card
    assert card.layers[-1] == "features"


def test_what_the_card_of_a_checkpoint_says_goes_into_the_model(tmp_path: Path) -> None:
    cnn_checkpoint(tmp_path)
    given = CheckpointCard(channels=("ER", "RNA"), normalization="zscore", network="cnn", feature_layer="x")
    plan = replace(plan_of(tmp_path, "DNA", "RNA", "ER", allow_channel_mapping=True), card=given)
    card = published(tmp_path, plan).card
    assert (card.channels, card.normalization, card.box_size) == (("ER", "RNA"), "zscore", 16)


@pytest.mark.parametrize(
    ("channels", "settings", "what"),
    [
        (("DNA",), {}, "trained on 2 channels"),
        (("DNA", "RNA"), {"conv_blocks": 3}, "lacks"),
        (("DNA", "RNA"), {"network": "no_such_network"}, "no_such_network"),
        (
            ("DNA", "RNA"),
            {"crop_generator": REPEATING, "input_size": 16},
            "2 channels, but the network takes 3",
        ),
    ],
)
def test_checkpoints_of_other_networks_are_refused(
    tmp_path: Path, channels: tuple[str, ...], settings: dict[str, Any], what: str
) -> None:
    cnn_checkpoint(tmp_path)
    with pytest.raises(ModelError, match=what):
        import_model(plan_of(tmp_path, *channels, **settings))


def test_the_network_must_be_named(tmp_path: Path) -> None:
    cnn_checkpoint(tmp_path)
    settings = profiling_settings().model_copy(update={"network": None})
    with pytest.raises(ModelError, match="does not say which network"):
        import_model(ImportPlan(settings, tmp_path / "c.weights.h5"))


def test_damaged_checkpoints_are_named(tmp_path: Path) -> None:
    cnn_checkpoint(tmp_path)
    path = tmp_path / "c.weights.h5"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError) as caught:
        import_model(plan_of(tmp_path))
    assert "c.weights.h5" in caught.value.problems[0].where


def test_the_recorded_checkpoint(golden: Path) -> None:
    settings = load_experiment(golden / "inputs/config/config.json").profiling()
    writer, report = import_model(ImportPlan(settings, golden / "checkpoint_golden.hdf5"))
    assert (report.missing, report.skipped) == ((), ())
    card = writer.facts["card"]
    assert (card["network"], card["conv_blocks"], card["input_size"]) == ("efficientnet", 0, 96)
    assert card["channels"] == ["DNA", "ER", "RNA", "AGP", "Mito"]
    assert {"pool5", "block6a_activation", "ClassProb"} <= set(card["layers"])


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of EfficientNet-B0 as Keras publishes it with the head, with made-up weights."""
    network = published_network(FAMILIES["efficientnet"])
    return write_published(with_top(network), tmp_path_factory.mktemp("imagenet") / "efficientnetb0.h5")


EFFICIENTNET = {"network": "efficientnet", "conv_blocks": 0, "box_size": 32}


def test_imagenet_weights_serve_any_number_of_channels(tmp_path: Path, imagenet: Path) -> None:
    settings = profiling_settings("A", "B", "C", "D", **EFFICIENTNET)
    plan = ImportPlan(settings, None, imagenet_weights=imagenet)
    model = published(tmp_path, plan)
    assert (model.card.source, model.card.checkpoint, model.card.input_size) == ("imagenet", None, 32)
    assert model.card.channels == ("A", "B", "C", "D")
    assert model.card.layers[-1] == "pool5"
    stem = load_trained_network(tmp_path / "model").get_layer("stem_conv").get_weights()[0]
    assert stem.shape[2] == 4
    np.testing.assert_array_equal(stem[:, :, 3], stem[:, :, 0])
    assert not np.array_equal(stem[:, :, 1], stem[:, :, 0])


def test_a_file_of_imagenet_weights_is_a_checkpoint_of_three_channels(tmp_path: Path, imagenet: Path) -> None:
    settings = profiling_settings("A", "B", **EFFICIENTNET, crop_generator=REPEATING, input_size=40)
    writer, report = import_model(ImportPlan(settings, imagenet))
    assert (report.skipped, report.missing) == ((), ())
    publish_folder(tmp_path / "model", writer)
    card = ModelFolder.open(tmp_path / "model").card
    assert (card.repeats_channels, card.input_size, card.channels) == (True, 40, ("A", "B"))
    assert card.layers[-1] == "pool5"  # the head of ImageNet is left out
    assert load_trained_network(tmp_path / "model").input_shape == (None, 40, 40, 3)
