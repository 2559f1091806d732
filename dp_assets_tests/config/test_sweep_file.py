"""Sweeps vary what a training reads, and nothing that comes after it."""

import json
from pathlib import Path
from typing import Any

import pytest

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.sweep_file import load_sweep


def write_sweep(root: Path, **settings: Any) -> None:
    folder = root / "inputs" / "config" / "sweeps"
    folder.mkdir(parents=True)
    (folder / "one.json").write_text(json.dumps({"experiment": "config", **settings}))


def test_keys_of_training_are_varied(tmp_path: Path) -> None:
    write_sweep(tmp_path, grid={"train.model.epochs": [1, 2]})
    assert load_sweep(tmp_path, "one")[1].keys == ("train.model.epochs",)


@pytest.mark.parametrize(
    "key", ["profiles.correction.lambda", "profiles.preset", "evaluation.seed", "features.level"]
)
@pytest.mark.parametrize("way", ["grid", "search"])
def test_keys_that_no_training_reads_are_refused(tmp_path: Path, key: str, way: str) -> None:
    varied = {key: [1, 2], "train.model.epochs": [1, 2]}
    write_sweep(tmp_path, **{way: varied if way == "grid" else {"trials": 3, "space": varied}})
    with pytest.raises(ConfigurationError, match=rf"{key} changes what is done with features") as caught:
        load_sweep(tmp_path, "one")
    assert "extends the first" in caught.value.problems[0].remedy
