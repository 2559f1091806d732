"""Experiments that extend another file."""

import json
from pathlib import Path
from typing import Any

import pytest

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.experiment import load_experiment
from dp_assets.config.inheritance import merged
from dp_assets.config.project import load_project
from dp_assets_tests.config.conftest import Write


def child(folder: Path, name: str, **data: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def test_what_the_file_says_goes_before_what_it_extends(write: Write) -> None:
    base = write("base.json")
    path = child(base.parent, "child.json", extends="base.json", train={"model": {"epochs": 99}})
    own, parent = load_experiment(path).training(), load_experiment(base).training()
    assert own.network.epochs == 99
    assert own.network.params == parent.network.params
    assert own.partition == parent.partition
    assert load_experiment(path).warnings == load_experiment(base).warnings


def test_lists_replace_and_null_takes_away() -> None:
    base = {"a": {"list": [1, 2], "gone": 1, "kept": 2}, "b": 3}
    assert merged(base, {"a": {"list": [9], "gone": None}, "b": {"c": 1}}) == {
        "a": {"list": [9], "kept": 2},
        "b": {"c": 1},
    }
    assert base["a"] == {"list": [1, 2], "gone": 1, "kept": 2}


@pytest.mark.parametrize(("older", "newer"), [("lambda", "regularization"), ("regularization", "lambda")])
def test_another_spelling_replaces_what_the_extended_file_says(write: Write, older: str, newer: str) -> None:
    correction = {"method": "sphering", older: 0.01}
    base = write("base.json", {"profiles.correction": correction})
    profiles = {"min_cells_per_site": 4, "correction": {newer: 1.0}}
    path = child(base.parent, "child.json", extends="base.json", profiles=profiles)
    protocol = load_experiment(path).scoring().profiles
    assert (protocol.correction.method, protocol.correction.regularization) == ("sphering", 1.0)
    assert protocol.cells.minimum_cells_per_site == 4


def test_two_spellings_in_one_file_are_a_contradiction(write: Write) -> None:
    correction = {"method": "sphering", "lambda": 0.01, "regularization": 1.0}
    with pytest.raises(ConfigurationError, match="two names of one setting"):
        load_experiment(write("base.json", {"profiles.correction": correction})).scoring()


def test_files_may_extend_over_folders_formats_and_generations(write: Write) -> None:
    base = write("base.json")
    child(base.parent, "parts/middle.json", extends="../base.json", train={"model": {"seed": 5}})
    path = base.parent / "last.yaml"
    path.write_text("extends: parts/middle.json\ntrain:\n  model:\n    epochs: 3\n")
    network = load_experiment(path).training().network
    assert (network.seed, network.epochs) == (5, 3)


def test_both_files_are_lanes_of_the_project(write: Write) -> None:
    base = write("base.json")
    child(base.parent, "child.json", extends="base.json", train={"model": {"epochs": 99}})
    project = load_project(base.parent.parent.parent)
    assert set(project.experiments) == {"base", "child"}
    assert project.broken == {}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("missing.json", "there is no file 'missing.json'"),
        (3, "expected the path"),
        (" ", "expected the path"),
    ],
)
def test_what_cannot_be_extended_is_named(write: Write, value: Any, says: str) -> None:
    path = child(write("base.json").parent, "child.json", extends=value)
    with pytest.raises(ConfigurationError, match=says):
        load_experiment(path)


def test_circles_are_refused(write: Write) -> None:
    folder = write("base.json").parent
    child(folder, "a.json", extends="b.json")
    path = child(folder, "b.json", extends="a.json")
    with pytest.raises(ConfigurationError, match=r"b\.json -> a\.json -> b\.json"):
        load_experiment(path)
