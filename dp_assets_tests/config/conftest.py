"""A correct configuration to start from, and a way to write variants of it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BASE: dict[str, Any] = {
    "dataset": {
        "metadata": {"label_field": "Treatment", "control_value": "DMSO"},
        "images": {"channels": ["DNA", "ER"], "file_format": "tiff", "bits": 16, "width": 512, "height": 400},
        "locations": {"mode": "single_cells", "box_size": 96, "mask_objects": False},
    },
    "prepare": {
        "illumination_correction": {"down_scale_factor": 4, "median_filter_size": 24},
        "compression": {"implement": True, "scaling_factor": 1.0},
    },
    "train": {
        "partition": {"targets": ["Treatment"], "split_field": "Split", "training": [0], "validation": [1]},
        "model": {
            "name": "efficientnet",
            "crop_generator": "sampled_crop_generator",
            "metrics": ["accuracy"],
            "epochs": 6,
            "initialization": "ImageNet",
            "params": {"learning_rate": 0.005, "batch_size": 16, "conv_blocks": 0},
        },
        "sampling": {"factor": 1.0, "workers": 2, "cache_size": 64},
        "validation": {
            "frequency": 1,
            "top_k": 2,
            "batch_size": 16,
            "frame": "val",
            "sample_first_crops": False,
        },
    },
    "profile": {"feature_layer": "pool5", "checkpoint": "checkpoint_0006.hdf5", "batch_size": 16},
}
REMOVED = object()


def variant(changes: dict[str, Any]) -> dict[str, Any]:
    """The correct configuration with some dotted keys set, or removed (REMOVED)."""
    data = copy.deepcopy(BASE)
    for path, value in changes.items():
        *parents, key = path.split(".")
        node = data
        for parent in parents:
            node = node.setdefault(parent, {})
        if value is REMOVED:
            del node[key]
        else:
            node[key] = value
    return data


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a variant of the correct configuration: ``write("a.json", {"profile.batch_size": 0})``."""

    def _write(name: str = "config.json", changes: dict[str, Any] | None = None) -> Path:
        path = tmp_path / "inputs" / "config" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(variant(changes or {})))
        return path

    return _write
