"""Checkpoints from elsewhere become model folders that profiling can trust."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.config.experiment import load_experiment
from dp_assets.config.network import ArchitectureParameters, ArchitectureSettings
from dp_assets.config.sections import ImagesSettings, LocationsSettings, ProfileSettings
from dp_assets.config.stages import ProfilingSettings
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets.storage.folders import publish_folder
from dp_assets.storage.model_folder import ModelFolder
from dp_assets.training.model_import import import_checkpoint
from dp_assets.training.model_loading import load_trained_network
from dp_assets.training.model_plan import ImportPlan


def cnn_checkpoint(folder: Path, **changes: Any) -> Any:
    """A small network with weights of its own, and its checkpoint in `folder`."""
    facts = {"name": "cnn", "input_shape": (16, 16, 2), "classes": 3, "conv_blocks": 2, "feature_dim": 6}
    network = build_network(NetworkRequest(**{**facts, "target": "Treatment", "seed": 5, **changes}))
    network.save_weights(folder / "c.weights.h5")
    return network


def plan_of(folder: Path, **changes: Any) -> ImportPlan:
    parts = {
        "images": ImagesSettings(channels=("DNA", "RNA"), bits=8),
        "locations": LocationsSettings(box_size=16),
        "profile": ProfileSettings(feature_layer="features", checkpoint="c.weights.h5"),
        "network": ArchitectureSettings(
            name="cnn", params=ArchitectureParameters(conv_blocks=2, feature_dim=6)
        ),
    }
    return ImportPlan(ProfilingSettings(**{**parts, **changes}), folder / "c.weights.h5")


def test_a_checkpoint_becomes_a_model_with_a_card(tmp_path: Path) -> None:
    network = cnn_checkpoint(tmp_path)
    plan = plan_of(tmp_path)
    writer, report = import_checkpoint(plan)
    assert report.missing == ()
    publish_folder(tmp_path / "model", writer)
    model = ModelFolder.open(tmp_path / "model")
    card = model.card
    assert model.fingerprint == plan.fingerprint
    assert (card.source, card.checkpoint, card.network, card.conv_blocks) == (
        "checkpoint",
        "c.weights.h5",
        "cnn",
        2,
    )
    assert (card.channels, card.box_size, card.bits, card.classes) == (("DNA", "RNA"), 16, 8, ())
    assert (card.normalization, card.sampling, card.trained_on) == ("minmax", "original", None)
    assert model.folder.manifest["layers_loaded"] == len(report.loaded) >= 5
    crops = np.random.default_rng(0).random((4, 16, 16, 2), np.float32)
    loaded = load_trained_network(tmp_path / "model")
    expected, found = (
        keras.Model(model.inputs[0], model.get_layer("features").output)(crops) for model in (network, loaded)
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"network": None}, "does not say which network"),
        ({"images": ImagesSettings(channels=("DNA",), bits=8)}, "trained on 2 channels"),
        (
            {"network": ArchitectureSettings(name="cnn", params=ArchitectureParameters(conv_blocks=3))},
            "lacks",
        ),
        ({"network": ArchitectureSettings(name="no_such_network")}, "no_such_network"),
    ],
)
def test_checkpoints_of_other_networks_are_refused(
    tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    cnn_checkpoint(tmp_path)
    with pytest.raises(ModelError, match=what):
        import_checkpoint(plan_of(tmp_path, **changes))


def test_damaged_checkpoints_are_named(tmp_path: Path) -> None:
    cnn_checkpoint(tmp_path)
    path = tmp_path / "c.weights.h5"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError) as caught:
        import_checkpoint(plan_of(tmp_path))
    assert "c.weights.h5" in caught.value.problems[0].where


def test_the_recorded_checkpoint(golden: Path) -> None:
    settings = load_experiment(golden / "inputs/config/config.json").profiling()
    writer, report = import_checkpoint(ImportPlan(settings, golden / "checkpoint_golden.hdf5"))
    assert (report.missing, report.skipped) == ((), ())
    card = writer.facts["card"]
    assert (card["network"], card["conv_blocks"], card["input_size"]) == ("efficientnet", 0, 96)
    assert card["channels"] == ["DNA", "ER", "RNA", "AGP", "Mito"]
    assert {"pool5", "block6a_activation", "ClassProb"} <= set(card["layers"])
