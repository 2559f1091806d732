"""The experiment configurations that go with synthetic plates."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dp_assets.config.inheritance import merged
from dp_assets.example.phenotypes import CONTROL
from dp_assets.example.plates import ImagingPlan

LAST_RATE_SHARE = 0.1


@dataclass(frozen=True)
class NetworkChoice:
    """What differs between the networks of the example.

    Attributes
    ----------
    conv_blocks : 0 is EfficientNet-B0; for `cnn` the number of convolution blocks.
    feature_layer : the layer that profiles are taken from.
    learning_rate : at the start.
    slows_down : whether the last third of the epochs is trained at a tenth of the rate.
    """

    conv_blocks: int
    feature_layer: str
    learning_rate: float
    slows_down: bool


NETWORKS: Mapping[str, NetworkChoice] = MappingProxyType(
    {
        # With so few steps the averages of batch normalisation lag behind weights that change fast; the slow
        # last epochs let them catch up, without which the validation accuracy jumps about.
        "efficientnet": NetworkChoice(0, "pool5", 0.01, slows_down=True),
        "cnn": NetworkChoice(3, "features", 0.001, slows_down=False),
    }
)


def experiment_configuration(
    network: str, imaging: ImagingPlan, *, box_size: int, epochs: int, batch_size: int
) -> dict[str, Any]:
    """The configuration of one experiment, in the handbook's keys.

    Parameters
    ----------
    network : `efficientnet` or `cnn`.
    imaging : the plates it describes.
    box_size : side of the crops, pixels.
    epochs : passes over the training cells.
    batch_size : cells per step, in training and profiling.
    """
    scene, choice = imaging.scene, NETWORKS[network]
    images = {
        "channels": list(scene.channels),
        "file_format": imaging.file_format,
        "bits": 8 if imaging.dtype == "uint8" else 16,
        "width": scene.shape[1],
        "height": scene.shape[0],
    }
    special = {
        "train": {
            "model": {
                "metrics": ["accuracy", "top_k"],
                "checkpoint_policy": 1,
                "lr_schedule": _schedule(choice, epochs),
                "params": {
                    "learning_rate": choice.learning_rate,
                    "conv_blocks": choice.conv_blocks,
                    "feature_dim": 128,
                },
            },
            "sampling": {"cache_size": 64},
            "validation": {"batch_size": 2 * batch_size, "frame": "val"},
        },
        "profile": {
            "feature_layer": choice.feature_layer,
            "checkpoint": f"checkpoint_{epochs:04d}.hdf5",
            "batch_size": 2 * batch_size,
        },
        # The wells of a compound differ in dose, and each dose is there once: all of them are its replicates.
        "profiles": {"treatment_fields": ["Compound"]},
        # There are few compounds to be neighbours.
        "evaluation": {"ks": [1, 2, 5]},
    }
    usual = usual_experiment(network, images, box_size=box_size, epochs=epochs, batch_size=batch_size)
    return merged(usual, special)


def usual_experiment(
    network: str, images: Mapping[str, Any], *, box_size: int, epochs: int, batch_size: int
) -> dict[str, Any]:
    """An experiment that classifies treatments from exported crops of compressed images, to be completed.

    Parameters
    ----------
    network : `train.model.name`.
    images : section `dataset.images`.
    box_size : side of the crops, pixels.
    epochs : passes over the training cells.
    batch_size : cells per step, in training and validation.

    Returns
    -------
    A configuration in the handbook's keys, without section `profile`. The split stands in column `Split` of
    the index, labels in `Treatment`, where the control is `DMSO`.
    """
    return {
        "dataset": {
            "metadata": {"label_field": "Treatment", "control_value": CONTROL},
            "images": dict(images),
            "locations": {"mode": "single_cells", "box_size": box_size, "mask_objects": False},
        },
        "prepare": {
            "illumination_correction": {"down_scale_factor": 4, "median_filter_size": 24},
            "compression": {"implement": True, "scaling_factor": 1.0},
        },
        "train": {
            "partition": {
                "targets": ["Treatment"],
                "split_field": "Split",
                "training": ["training"],
                "validation": ["validation"],
            },
            "model": {
                "name": network,
                "crop_generator": "sampled_crop_generator",
                "augmentations": True,
                "metrics": ["accuracy"],
                "epochs": epochs,
                "initialization": "random",
                "lr_schedule": "constant",
                "params": {
                    "learning_rate": 0.001,
                    "batch_size": batch_size,
                    "conv_blocks": 0,
                    "label_smoothing": 0.0,
                },
            },
            "sampling": {"factor": 1.0, "workers": 2, "cache_size": 10000},
            "validation": {"frequency": 1, "top_k": 2, "batch_size": batch_size},
        },
    }


def _schedule(choice: NetworkChoice, epochs: int) -> str | dict[str, list[float]]:
    if not choice.slows_down or epochs < 3:
        return "constant"
    return {
        "epoch": [0, epochs - epochs // 3],
        "lr": [choice.learning_rate, choice.learning_rate * LAST_RATE_SHARE],
    }


def write_configuration(root: Path, name: str, configuration: Mapping[str, Any]) -> None:
    """Write inputs/config/<name>.json."""
    folder = root / "inputs" / "config"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(configuration, indent=2) + "\n", encoding="utf-8")
