"""Comet: the key file, and a real offline experiment."""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dp_assets.config.errors import ConfigurationError
from dp_assets.training.comet_log import CometLog, read_key
from dp_assets.training.resume_state import EpochLog
from dp_assets.training.training_log import TrainingLog

KEY = {"log_type": "comet_ml", "api_key": "abc", "project_name": "screens", "workspace": "lab"}


def key_file(folder: Path, content: object) -> Path:
    path = folder / "comet.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_key_file_of_the_handbook(tmp_path: Path) -> None:
    assert read_key(key_file(tmp_path, {**KEY, "more": 1})) == KEY


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"comet\.json: the Comet key file cannot be read"),
        ([1], r"holds a list"),
        ({**KEY, "log_type": "wandb"}, r"comet\.json: log_type: log_type is 'wandb'; expected 'comet_ml'"),
        ({"project_name": "screens"}, r"comet\.json: api_key: api_key is missing[\s\S]*comet\.com"),
        ({"api_key": "abc"}, r"project_name is missing"),
        ({"offline_directory": "runs"}, r"project_name is missing"),
        ({**KEY, "workspace": " "}, r"comet\.json: workspace: workspace is empty"),
    ],
    ids=str,
)
def test_bad_key_files_name_file_and_key(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_key(key_file(tmp_path, content))


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_key(key_file(tmp_path, {**KEY, "api_key": 987654321}))
    assert "987654321" not in str(caught.value)


def test_missing_key_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file"):
        read_key(tmp_path / "comet.json")


def test_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "comet_ml", None)
    with pytest.raises(ConfigurationError, match=r"comet_ml cannot be imported[\s\S]*dp-assets\[comet\]"):
        CometLog(key_file(tmp_path, KEY))


def messages(archive: Path, kind: str, content: str) -> list[dict[str, Any]]:
    """What an offline archive holds of one kind."""
    with zipfile.ZipFile(archive) as files:
        lines = [json.loads(line) for line in files.read("messages.json").splitlines()]
    return [line["payload"][content] for line in lines if line["type"] == kind]


def test_offline_experiment_holds_parameters_and_curves_over_a_resume(tmp_path: Path) -> None:
    pytest.importorskip("comet_ml")
    path = key_file(
        tmp_path, {"log_type": "comet_ml", "project_name": "screens", "offline_directory": "comet"}
    )
    entries: list[EpochLog] = [{"epoch": n, "loss": 1 / n, "val_accuracy": n / 4} for n in (1, 2, 3)]
    for done in (0, 2):
        log = TrainingLog([CometLog(path)], tmp_path)
        with log.following("B0", {"params.learning_rate": 0.01, "name": "cnn"}, entries[:done]):
            for entry in entries[done : done + 2]:
                log.add(entry)

    archives = sorted((tmp_path / "comet").glob("*.zip"), key=lambda archive: len(archive.name))
    assert len(archives) == 2
    assert archives[1].name.startswith(archives[0].stem), "both belong to one experiment"
    params = {
        param["paramName"]: param["paramValue"] for param in messages(archives[0], "parameter_msg", "param")
    }
    assert params["params.learning_rate"] == 0.01
    assert params["name"] == "cnn"
    curves = [
        (metric["metricName"], metric["epoch"], metric["metricValue"])
        for archive in archives
        for metric in messages(archive, "metric_msg", "metric")
        if metric["metricName"] in ("loss", "val_accuracy")
    ]
    assert sorted(curves) == sorted(
        (name, entry["epoch"], entry[name]) for entry in entries for name in ("loss", "val_accuracy")
    )
