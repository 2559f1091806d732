"""Experiments on another program's features: alone in a project, beside others, and what they cannot have."""

import json
from pathlib import Path
from typing import Any

import pytest

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.experiment import Experiment, Stage, load_experiment
from dp_assets.config.overrides import Overrides
from dp_assets.config.project import load_project
from dp_assets_tests.config.conftest import Write, variant

TABLES: dict[str, Any] = {"features": {"files": ["cellprofiler/*.csv"]}}


def write_external(root: Path, name: str = "tables.json", data: dict[str, Any] | None = None) -> Path:
    path = root / "inputs" / "config" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(TABLES if data is None else data))
    return path


def what(experiment: Experiment) -> str:
    (problem,) = experiment.problems(Stage.SCORING)
    return f"{problem.where}: {problem.what} {problem.remedy}"


def test_features_alone_are_an_experiment(tmp_path: Path) -> None:
    experiment = load_experiment(write_external(tmp_path), strict=True)
    assert experiment.stages == (Stage.SCORING,)
    assert experiment.has_features
    assert not experiment.has_training
    settings = experiment.scoring()
    assert settings.features is not None
    assert settings.features.files == ("cellprofiler/*.csv",)
    assert (settings.features.format, settings.features.level) == ("auto", "auto")
    assert settings.profiles.normalization.reference == "all"


def test_labels_and_controls_come_from_the_metadata(tmp_path: Path) -> None:
    metadata = {"label_field": "Metadata_pert_iname", "control_value": "DMSO"}
    data = {**TABLES, "dataset": {"metadata": metadata}, "profiles": {"preset": "cell_painting"}}
    columns = load_experiment(write_external(tmp_path, data=data), strict=True).scoring().profiles.columns
    assert (columns.treatment, columns.control, columns.control_values) == (
        ("pert_iname",),
        ("pert_iname",),
        ("DMSO",),
    )


def test_alone_in_a_project(tmp_path: Path) -> None:
    write_external(tmp_path)
    project = load_project(tmp_path)
    assert list(project.experiments) == ["tables"]
    assert project.reference is None
    assert project.broken == {}


def test_beside_experiments_on_images_it_is_not_their_reference(write: Write, tmp_path: Path) -> None:
    write_external(tmp_path, "config.json")
    write_external(tmp_path, "a_first.json")
    write("trained.json")
    write("other.json", {"dataset.metadata.control_value": "EMPTY_"})
    metadata = {"label_field": "Gene", "control_value": "negative"}
    write_external(tmp_path, "different.json", {**TABLES, "dataset": {"metadata": metadata}})
    project = load_project(tmp_path)
    assert project.reference is not None
    # the first by name of those with images; labels of tables are no disagreement
    assert project.reference.name == "other"
    assert list(project.experiments) == ["a_first", "config", "different", "other"]
    assert list(project.broken) == ["trained.json"]


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        (["profile"], "profile"),
        (["train"], "train"),
        (["prepare"], "prepare"),
        (["train", "profile"], "train, profile"),
    ],
)
def test_features_from_tables_and_from_images_in_one_file_are_refused(
    tmp_path: Path, sections: list[str], named: str
) -> None:
    base = variant({})
    data = {**TABLES, **{name: base[name] for name in sections}}
    path = write_external(tmp_path, data=data)
    said = what(load_experiment(path))
    assert said.startswith(f"{path}: features")
    assert f"also has {named}, which" in said
    assert f"Remove {named} " in said
    assert "tables.json" in load_project(tmp_path).broken


def test_a_file_that_is_extended_can_be_emptied(write: Write, tmp_path: Path) -> None:
    write("config.json")
    data = {
        "extends": "config.json",
        **TABLES,
        "dataset": {"images": None, "locations": None},
        "prepare": None,
        "train": None,
        "profile": None,
    }
    experiment = load_experiment(write_external(tmp_path, data=data))
    assert experiment.scoring().profiles.columns.control_values == ("DMSO",)


@pytest.mark.parametrize(
    ("features", "key", "said"),
    [
        ({}, "features.files", "missing"),
        ({"files": []}, "features.files", "at least 1"),
        ({"files": [""]}, "features.files[0]", "not empty"),
        ({"files": ["a.csv", "a.csv"]}, "features.files", "repeated: a.csv"),
        ({"files": "a.csv", "level": "plate"}, "features.level", '"plate"'),
        ({"files": "a.csv", "format": "xlsx"}, "features.format", '"xlsx"'),
        ({"files": "a.csv", "feature_columns": []}, "features.feature_columns", "at least 1"),
        ({"files": "a.csv", "missing_values": "ignore"}, "features.missing_values", '"ignore"'),
    ],
)
def test_mistakes_in_the_section_are_named(
    tmp_path: Path, features: dict[str, Any], key: str, said: str
) -> None:
    path = write_external(tmp_path, data={"features": features})
    with pytest.raises(ConfigurationError) as caught:
        load_experiment(path).scoring()
    (problem,) = caught.value.problems
    assert problem.where == f"{path}: {key}"
    assert said in problem.what


def test_a_key_set_for_one_run_makes_no_experiment_external(write: Write, tmp_path: Path) -> None:
    overrides = Overrides(("features.level=well",))
    image, tables = write("config.json"), write_external(tmp_path)
    assert not load_experiment(image, overrides=overrides).has_features
    features = load_experiment(tables, overrides=overrides).scoring().features
    assert features is not None
    assert features.level == "well"
