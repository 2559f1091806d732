"""Models from elsewhere in a lane: cards enforced, channels mapped, each channel alone, ImageNet."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.config.project import load_project
from dp_assets.imaging.cropping import CropGeometry
from dp_assets.imaging.illumination import IlluminationFunctions
from dp_assets.imaging.normalization import Normalization
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets.orchestration.model_imports import import_problems
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.profiling.extraction import FeatureExtractor
from dp_assets.profiling.repeated_channels import RepeatedChannelExtractor
from dp_assets.storage.checkpoint_card import card_path
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.tables import read_table
from dp_assets.training.normalized_crops import normalized
from dp_assets.training.store_crops import StoreCrops
from dp_assets_tests.networks.published_weights import FAMILIES, published_network, write_published
from dp_assets_tests.orchestration.conftest import PLATES
from dp_assets_tests.orchestration.materializing import INDEX, TABLES, Workshop

BOX = 32
CHANNELS = ("DNA", "RNA", "Mito")
REPEATING = "repeat_channel_crop_generator"
PLATE = PLATES[0]


@pytest.fixture
def mine(finished: Workshop) -> Workshop:
    """A finished project with an experiment `mine` that brings in a checkpoint."""
    source = finished.root / "inputs" / "config" / "cnn.json"
    data = json.loads(source.read_text())
    data["profile"] = {"checkpoint": "mine.weights.h5", "feature_layer": "features", "batch_size": 8}
    data["train"]["model"]["params"] |= {"conv_blocks": 1, "feature_dim": 4}
    source.with_name("mine.json").write_text(json.dumps(data))
    (finished.root / "inputs" / "pretrained").mkdir(exist_ok=True)
    return finished


def checkpoint(workshop: Workshop, size: int, card: dict[str, Any] | None = None) -> Any:
    """Write the checkpoint of a network of three channels, and its card."""
    request = NetworkRequest("cnn", (size, size, 3), 2, conv_blocks=1, feature_dim=4, target="T", seed=3)
    network = build_network(request)
    path = workshop.root / "inputs" / "pretrained" / "mine.weights.h5"
    network.save_weights(path)
    card_path(path).unlink(missing_ok=True)
    if card is not None:
        card_path(path).write_text(json.dumps(card))
    return network


def problems(workshop: Workshop) -> str:
    project = load_project(workshop.root)
    found = import_problems(project.experiments["mine"], ProjectResource.of(project))
    return " ".join(map(str, found))


def features(workshop: Workshop, prefix: str) -> np.ndarray:
    """The features of experiment `mine`, (cells, features)."""
    table = read_table(workshop.root / "outputs" / "mine" / "features" / f"{PLATE}.parquet")
    return np.stack(
        [table[name].to_numpy() for name in table.column_names if name.startswith(prefix)], axis=1
    )


def crops(workshop: Workshop, normalization: Normalization = "minmax", grey_levels: Any = None) -> np.ndarray:
    """The crops of the plate from its crop store, normalised, in the order of the features."""
    store = CropStore.open(workshop.root / "outputs" / "single_cells" / "box32" / PLATE)
    rows = range(len(store))
    cells = pa.table({"Metadata_Plate": [PLATE] * len(rows), "store_row": list(rows)})
    geometry = CropGeometry(BOX, margin=4)
    found = StoreCrops(
        {PLATE: store},
        cells,
        CHANNELS,
        geometry=geometry,
        normalization=normalization,
        plate_ranges=grey_levels,
    )
    return normalized(found).read(np.array(rows))


def allow_mapping(data: dict) -> None:
    data["model"] = {"allow_channel_mapping": True}


def test_the_card_beside_a_checkpoint_is_enforced_and_channels_are_mapped(mine: Workshop) -> None:
    card = {"channels": ["mito", "DNA", "RNA"], "box_size": BOX}
    network = checkpoint(mine, BOX, card)
    refused = "takes channels mito, DNA, RNA, in this order; the images offer DNA, RNA, Mito"
    assert refused in problems(mine)
    assert refused in mine.make("mine/trained_model").message
    assert not (mine.root / "outputs" / "mine" / "trained_model").exists()
    mine.configure(allow_mapping, "mine")
    assert problems(mine) == ""
    made = mine.make("mine/trained_model")
    assert made.metadata["mine/trained_model"]["channels"] == "mito, DNA, RNA"
    assert mine.make("mine/cell_features", "mine/well_profiles", plate=PLATE).succeeded
    expected = FeatureExtractor(network, "features", 8)(crops(mine)[..., [2, 0, 1]])
    np.testing.assert_allclose(features(mine, "cnn_"), expected, atol=1e-5)


def test_grey_levels_of_the_plate_follow_their_channels(
    write_project: Callable[..., Workshop],
) -> None:
    workshop = write_project(
        plates=1,
        overrides={
            "prepare": {"compression": {"implement": False}},
            "single_cells": {"normalization": "plate"},
            "model": {"allow_channel_mapping": True},
            "profile": {"checkpoint": "mine.weights.h5", "batch_size": 8},
            "train": {"model": {"params": {"conv_blocks": 1, "feature_dim": 4}}},
        },
    )
    config = workshop.root / "inputs" / "config"
    config.joinpath("cnn.json").rename(config / "mine.json")
    (workshop.root / "inputs" / "pretrained").mkdir(exist_ok=True)
    network = checkpoint(workshop, BOX, {"channels": ["Mito", "DNA", "RNA"], "bits": 16})
    assert workshop.make(*INDEX).succeeded
    assert workshop.make(*TABLES, "illumination_functions", "single_cells/box32", plate=PLATE).succeeded
    assert workshop.make("mine/trained_model").succeeded
    assert workshop.make("mine/cell_features", plate=PLATE).succeeded
    with np.load(workshop.root / "outputs" / "intensities" / f"{PLATE}.npz") as arrays:
        functions = IlluminationFunctions.from_arrays(arrays)
    levels = (functions.lower_quantiles, functions.upper_quantiles)
    assert len(set(levels[1])) == 3
    seen = crops(workshop, "plate", {PLATE: levels})[..., [2, 0, 1]]
    expected = FeatureExtractor(network, "features", 8)(seen)
    np.testing.assert_allclose(features(workshop, "cnn_"), expected, atol=1e-5)


def test_a_model_whose_card_does_not_fit_any_more_is_not_profiled_with(mine: Workshop) -> None:
    checkpoint(mine, BOX)
    assert mine.make("mine/trained_model").succeeded
    mine.configure(lambda data: data.update(single_cells={"normalization": "zscore"}), "mine")
    message = mine.make("mine/cell_features", plate=PLATE).message
    assert "the model has normalization minmax, the configuration zscore" in message
    assert "mine/trained_model" in message


def test_each_channel_alone(mine: Workshop) -> None:
    """Any network of three channels will do; its card's names do not count."""
    network = checkpoint(mine, 20, {"channels": ["R", "G", "B"]})

    def repeat(data: dict) -> None:
        data["train"]["model"]["crop_generator"] = REPEATING
        data["profile"]["use_pretrained_input_size"] = 20

    mine.configure(repeat, "mine")
    assert problems(mine) == ""
    assert mine.make("mine/trained_model").succeeded
    assert mine.make("mine/cell_features", "mine/well_profiles", plate=PLATE).succeeded
    expected = RepeatedChannelExtractor(network, "features", 8, BOX, 3)(crops(mine))
    for number, channel in enumerate(CHANNELS):
        found = features(mine, f"cnn_{channel}_")
        np.testing.assert_allclose(found, expected[:, 4 * number : 4 * number + 4], atol=1e-5)


def test_imagenet_weights_of_a_local_file(mine: Workshop) -> None:
    def imagenet(data: dict) -> None:
        data["model"] = {"imagenet_weights": "efficientnetb0_notop.h5"}
        data["train"]["model"] |= {"name": "efficientnet"}
        data["train"]["model"]["params"] |= {"conv_blocks": 0}
        data["profile"] |= {"checkpoint": "None", "feature_layer": "avg_pool"}

    mine.configure(imagenet, "mine")
    assert "there is no file 'efficientnetb0_notop.h5'" in problems(mine)
    path = mine.root / "inputs" / "pretrained" / "efficientnetb0_notop.h5"
    write_published(published_network(FAMILIES["efficientnet"]), path)
    assert problems(mine) == ""
    made = mine.make("mine/trained_model")
    assert made.metadata["mine/trained_model"]["recomputed"]
    assert mine.make("mine/cell_features", plate=PLATE).succeeded
    request = NetworkRequest(
        "efficientnet", (BOX, BOX, 3), None, initialization="imagenet", imagenet_weights=path
    )
    expected = FeatureExtractor(build_network(request), "pool5", 8)(crops(mine))
    np.testing.assert_allclose(features(mine, "efficientnet_"), expected, atol=1e-6)
    assert not mine.make("mine/trained_model").metadata["mine/trained_model"]["recomputed"]


def test_experiments_that_train_bring_nothing_in(finished: Workshop) -> None:
    project = load_project(finished.root)
    assert import_problems(project.experiments["cnn"], ProjectResource.of(project)) == ()
    assert finished.make(*INDEX).succeeded
