"""Projects on benchmark plates: some of the sites, one codec, and what a stage needs before it runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.speed.plates import Plates
from benchmarks.speed.processes import own_module
from benchmarks.speed.result import ProcessRun
from benchmarks.speed.settings import Settings
from benchmarks.speed.stages import PROFILING, TRAINING
from dp_assets.config.inheritance import merged
from dp_assets.example.experiments import usual_experiment

CHECKPOINT = "untrained.hdf5"


@dataclass(frozen=True)
class BenchProject:
    """A project of dp_assets.

    Attributes
    ----------
    root : its folder.
    codec : `prepare.compression.codec`.
    plates, sites, cells : how many it has.
    """

    root: Path
    codec: str
    plates: int
    sites: int
    cells: int

    @property
    def log(self) -> Path:
        """Where its processes print."""
        return self.root / "bench.log"

    def run(self, assets: Sequence[str]) -> ProcessRun:
        """Materialize assets of all plates in a process of its own, whatever was made before."""
        run, _ = own_module("stage_process", {"root": str(self.root), "assets": list(assets)}, self.log)
        return run


def write_project(
    root: Path, plates: Plates, settings: Settings, *, share: float, codec: str
) -> BenchProject:
    """Write a project with the first sites of every plate. Images and locations stay where they are."""
    index, cells = plates.of_first_sites(share)
    for folder in ("config", "metadata", "pretrained"):
        (root / "inputs" / folder).mkdir(parents=True, exist_ok=True)
    index.to_csv(root / "inputs" / "metadata" / "index.csv", index=False)
    places = {
        "images": str(plates.images),
        "locations": str(plates.locations),
        "image_roots": [str(plates.images)],
    }
    (root / "project.yaml").write_text(yaml.safe_dump(places), encoding="utf-8")
    for name in (PROFILING, TRAINING):
        text = json.dumps(experiment(name, plates, settings, codec), indent=1)
        (root / "inputs" / "config" / f"{name}.json").write_text(text, encoding="utf-8")
    count = index["Metadata_Plate"].nunique()
    return BenchProject(root, codec, count, len(index), cells)


def experiment(name: str, plates: Plates, settings: Settings, codec: str) -> dict[str, Any]:
    """An experiment in the handbook's keys: EfficientNet-B0, from a checkpoint or to be trained."""
    images = settings.images
    section = {
        "channels": list(plates.channels),
        "file_format": "png" if images.source == "png" else "tif",
        "bits": 16,
        "width": images.cols,
        "height": images.rows,
    }
    usual = usual_experiment(
        "efficientnet", section, box_size=images.box, epochs=1, batch_size=settings.training_batch_size
    )
    special = {
        "prepare": {"compression": {"codec": codec}},
        "model": {"source": "checkpoint" if name == PROFILING else "train"},
        "profile": {
            "feature_layer": settings.feature_layer,
            "checkpoint": CHECKPOINT,
            "batch_size": settings.batch_size,
        },
    }
    return merged(usual, special)
