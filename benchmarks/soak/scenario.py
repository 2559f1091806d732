"""The project of a soak: plates that arrive one by one, and the calm run that they are compared with."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml

from dp_assets.example.tiny import write_tiny_project

PLATE, SPLIT = "Metadata_Plate", "Split"
TRAINING_PLATES = 2
EXPERIMENT = "cnn"
EVERY_MINUTE = "* * * * *"
NEW_PARTS = Path("inputs") / "metadata" / "new"


def write_calm_project(root: Path, plates: int) -> list[str]:
    """Write the project with all its plates and return their names.

    The model is trained on the first two plates; the others are only profiled, as in a lab where plates come
    in week by week.
    """
    write_tiny_project(root, plates=plates, wells=8, epochs=3, overrides={"train": {"retrain": "new_plates"}})
    index = read_index(root)
    names = list(dict.fromkeys(index[PLATE]))
    index.loc[~index[PLATE].isin(names[:TRAINING_PLATES]), SPLIT] = "held out"
    index.to_csv(index_path(root), index=False)
    _write_settings(root)
    return names


def _write_settings(root: Path) -> None:
    """Every interval as short as it goes; one thread a stage, so that two runs share two cores."""
    settings = {
        "cores": 1,
        "automation": {"nightly": EVERY_MINUTE, "weekly": False, "every_seconds": 5},
    }
    (root / "project.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def index_path(root: Path) -> Path:
    """The image index of a project."""
    return root / "inputs" / "metadata" / "index.csv"


def read_index(root: Path) -> pd.DataFrame:
    """The image index as text."""
    return pd.read_csv(index_path(root), dtype=str, keep_default_na=False)


def run_calmly(root: Path, log: Path) -> None:
    """Materialize everything in one process that nobody disturbs. RuntimeError when it fails."""
    command = [sys.executable, "-m", "dp_assets.cli", "run", "all", "--project", str(root)]
    with log.open("wb") as sink:
        done = subprocess.run(command, stdout=sink, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"the calm run failed with exit code {done.returncode}: see {log}")


def write_empty_project(root: Path, calm: Path) -> None:
    """The project of the soak before any plate arrived, but for those that the model is trained on."""
    for folder in ("images", "locations", "metadata"):
        (root / "inputs" / folder).mkdir(parents=True, exist_ok=True)
    shutil.copytree(calm / "inputs" / "config", root / "inputs" / "config")
    shutil.copy(calm / "project.yaml", root / "project.yaml")
    index = read_index(calm)
    first = list(dict.fromkeys(index[PLATE]))[:TRAINING_PLATES]
    for plate in first:
        _copy_images(root, calm, plate)
    index[index[PLATE].isin(first)].to_csv(index_path(root), index=False)
    (root / NEW_PARTS).mkdir(parents=True)


def deliver(root: Path, calm: Path, plate: str) -> None:
    """A plate arrives: its images and locations, and last its part of the index, under its name at once."""
    _copy_images(root, calm, plate)
    index = read_index(calm)
    part = root / NEW_PARTS / f"{plate}.csv"
    unfinished = part.with_name(f".{part.name}.tmp")
    index[index[PLATE] == plate].to_csv(unfinished, index=False)
    unfinished.rename(part)


def _copy_images(root: Path, calm: Path, plate: str) -> None:
    for folder in ("images", "locations"):
        shutil.copytree(calm / "inputs" / folder / plate, root / "inputs" / folder / plate)


def configuration(root: Path) -> dict:
    """The experiment of the soak."""
    path = root / "inputs" / "config" / f"{EXPERIMENT}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def complete_plates(root: Path, plates: Sequence[str]) -> list[str]:
    """The plates whose last table is published."""
    folder = root / "outputs" / EXPERIMENT / "well_profiles"
    return [plate for plate in plates if (folder / f"{plate}.parquet").exists()]
