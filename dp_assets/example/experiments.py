"""The experiment configurations that go with synthetic plates."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dp_assets.example.phenotypes import CONTROL
from dp_assets.example.plates import ImagingPlan

# What differs between the two networks of the example: 0 is EfficientNet-B0, 3 the number of convolution
# blocks.
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "efficientnet": {
        "conv_blocks": 0,
        "feature_layer": "pool5",
        "learning_rate": 0.02,
        "augmentations": True,
    },
    "cnn": {"conv_blocks": 3, "feature_layer": "features", "learning_rate": 0.001, "augmentations": True},
}


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
    return {
        "dataset": {
            "metadata": {"label_field": "Treatment", "control_value": CONTROL},
            "images": {
                "channels": list(scene.channels),
                "file_format": imaging.file_format,
                "bits": 8 if imaging.dtype == "uint8" else 16,
                "width": scene.shape[1],
                "height": scene.shape[0],
            },
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
                "augmentations": choice["augmentations"],
                "metrics": ["accuracy", "top_k"],
                "epochs": epochs,
                "initialization": "random",
                "checkpoint_policy": 1,
                "lr_schedule": "constant",
                "params": {
                    "learning_rate": choice["learning_rate"],
                    "batch_size": batch_size,
                    "conv_blocks": choice["conv_blocks"],
                    "feature_dim": 128,
                    "label_smoothing": 0.0,
                },
            },
            "sampling": {"factor": 1.0, "workers": 2, "cache_size": 64},
            "validation": {"frequency": 1, "top_k": 2, "batch_size": 2 * batch_size, "frame": "val"},
        },
        "profile": {
            "feature_layer": choice["feature_layer"],
            "checkpoint": f"checkpoint_{epochs:04d}.hdf5",
            "batch_size": 2 * batch_size,
        },
    }


def write_configuration(root: Path, name: str, configuration: Mapping[str, Any]) -> None:
    """Write inputs/config/<name>.json."""
    folder = root / "inputs" / "config"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(configuration, indent=2) + "\n", encoding="utf-8")
