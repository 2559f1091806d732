"""A project folder: which experiments are usable, and why the others are not."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.names import RESERVED_NAMES, lane_name, lane_name_problem
from dp_assets.config.project import ProjectSettings, load_project
from dp_assets_tests.config.conftest import REMOVED, Write


def test_experiments_are_listed_by_lane_name_and_other_files_left_alone(write: Write, tmp_path: Path) -> None:
    write("TA-orf.json")
    write("config.json", {"profile.feature_layer": "block6a_activation"})
    folder = write("2024.json").parent
    (folder / "notes.txt").write_text("not a configuration")
    (folder / ".hidden.json").write_text("{")
    (folder / "old.json").mkdir()
    project = load_project(tmp_path)
    assert list(project.experiments) == ["config", "e_2024", "ta_orf"]
    assert project.broken == {}
    assert project.reference is project.experiments["config"]
    assert project.settings == ProjectSettings()


def test_broken_files_are_named_and_spoil_nothing_else(write: Write, tmp_path: Path) -> None:
    write("config.json", {"profile.batch_size": 0})
    write("good.json")
    write("metadata.json")
    write("a-b.json")
    folder = write("a_b.json").parent
    (folder / "syntax.yaml").write_text("a: [")
    (folder / "empty.json").write_text("{}")
    (folder / "bytes.json").write_bytes(b"\xff\xfe")
    project = load_project(tmp_path)
    assert list(project.experiments) == ["good"]
    assert project.reference is project.experiments["good"]
    what = {name: problems[0].what for name, problems in project.broken.items()}
    assert sorted(what) == [
        "a-b.json", "a_b.json", "bytes.json", "config.json", "empty.json", "metadata.json", "syntax.yaml",
    ]  # fmt: skip
    assert "batch_size is 0" in what["config.json"]
    assert "a_b.json" in what["a-b.json"]
    assert "reserved" in what["metadata.json"]
    assert "describes nothing" in what["empty.json"]


def test_mistake_of_a_stage_that_does_not_run_leaves_the_lane_usable(write: Write, tmp_path: Path) -> None:
    given_weights = {
        "profile.checkpoint": "given.hdf5",
        "train.partition": REMOVED,
        "train.model.epochs": "many",
    }
    write("given.json", given_weights)
    write("trained.json", {"train.model.epochs": "many"})
    project = load_project(tmp_path)
    assert list(project.experiments) == ["given"]
    assert list(project.broken) == ["trained.json"]


@pytest.mark.parametrize(
    ("changes", "key", "ours", "theirs"),
    [
        ({"dataset.metadata.control_value": "EMPTY_"},
         "dataset.metadata.control_value", '"EMPTY_"', '"DMSO"'),
        ({"dataset.images.channels": ["ER", "DNA"]}, "dataset.images.channels", "'ER', 'DNA'", "'DNA', 'ER'"),
        ({"dataset.images.width": 1080}, "dataset.images.width", "1080", "512"),
        ({"prepare.compression.implement": False}, "prepare.compression.implement", "false", "true"),
        ({"prepare": REMOVED}, "prepare.compression.implement", "false", "true"),
        ({"prepare.illumination_correction.median_filter_size": 25},
         "prepare.illumination_correction.median_filter_size", "25", "24"),
    ],
)  # fmt: skip
def test_disagreement_on_what_is_shared_names_key_values_and_files(
    write: Write, tmp_path: Path, changes: dict[str, Any], key: str, ours: str, theirs: str
) -> None:
    reference = write("config.json")
    other = write("another.json", changes)
    project = load_project(tmp_path)
    assert list(project.experiments) == ["config"]
    (problem,) = project.broken["another.json"]
    assert problem.where == f"{other}: {key}"
    assert ours in problem.what
    assert theirs in problem.what
    assert str(other) in problem.remedy
    assert str(reference) in problem.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset.metadata": REMOVED},
        {
            "dataset.images.width": REMOVED,
            "dataset.images.height": REMOVED,
            "dataset.images.file_format": REMOVED,
        },
        {"prepare.illumination_correction": REMOVED},
        {"dataset.locations.box_size": 64},
        {"single_cells.normalization": "zscore"},
    ],
)
def test_what_is_left_out_or_not_shared_is_no_disagreement(
    write: Write, tmp_path: Path, changes: dict[str, Any]
) -> None:
    write("config.json")
    write("another.json", changes)
    assert list(load_project(tmp_path).experiments) == ["another", "config"]


def test_one_name_for_two_sets_of_crops_is_refused(write: Write, tmp_path: Path) -> None:
    write("config.json")
    write("other.json", {"single_cells.name": "box96", "dataset.locations.box_size": 64})
    write("same.json", {"single_cells.name": "box96"})
    project = load_project(tmp_path)
    assert list(project.experiments) == ["config", "same"]
    (problem,) = project.broken["other.json"]
    assert "box_size is 64 here and 96 there" in problem.what


def test_strict_project_refuses_unknown_keys(write: Write, tmp_path: Path) -> None:
    write("config.json", {"profile.bach_size": 3})
    assert list(load_project(tmp_path).experiments) == ["config"]
    assert list(load_project(tmp_path, strict=True).broken) == ["config.json"]


def test_project_settings(tmp_path: Path) -> None:
    (tmp_path / "project.yaml").write_text(
        "image_roots: /data/screens\nstore: s3://bucket/x\non_bad_site: Skip\ncores: 3\n"
        "maximum_image_pixels: 1e6\n"
    )
    project = load_project(tmp_path)
    assert project.settings == ProjectSettings(
        image_roots=("/data/screens",),
        store="s3://bucket/x",
        on_bad_site="skip",
        cores=3,
        maximum_image_pixels=10**6,
    )
    assert (project.experiments, project.reference) == ({}, None)
    (tmp_path / "project.yaml").write_text("# cores: 3\n")
    assert load_project(tmp_path).settings == ProjectSettings()


def test_wrong_project_settings_stop_everything_with_all_problems(tmp_path: Path) -> None:
    (tmp_path / "project.yaml").write_text("on_bad_sight: skip\ncores: none\non_bad_site: later\n")
    with pytest.raises(ConfigurationError) as caught:
        load_project(tmp_path)
    path = tmp_path / "project.yaml"
    assert {p.where for p in caught.value.problems} == {
        f"{path}: on_bad_sight", f"{path}: cores", f"{path}: on_bad_site",
    }  # fmt: skip
    assert 'Did you mean "on_bad_site"?' in str(caught.value)


def test_missing_project_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such project folder"):
        load_project(tmp_path / "nowhere")


@given(st.text(min_size=1))
def test_lane_names_are_legal_or_a_problem(stem: str) -> None:
    name = lane_name(stem)
    assert re.fullmatch(r"[a-z_][a-z0-9_]*", name)
    assert lane_name(name) == name
    if lane_name_problem(name, "file") is None:
        assert name not in RESERVED_NAMES
        assert re.search(r"[a-z0-9]", name)


@given(st.binary(max_size=60), st.sampled_from(["x.json", "x.yaml"]))
def test_no_file_content_stops_a_project_from_loading(content: bytes, name: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "inputs" / "config"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(content)
        assert list(load_project(root).broken) == [name]


def test_exact_and_resampled_crops_are_different_sets(write: Write, tmp_path: Path) -> None:
    write("a.json")
    write("b.json", {"single_cells.sampling": "exact"})
    write("c.json", {"single_cells.sampling": "exact", "single_cells.margin": 12})
    write("d.json", {"single_cells.sampling": "exact", "single_cells.name": "box96"})
    project = load_project(tmp_path)
    names = {name: experiment.crops().set_name for name, experiment in project.experiments.items()}
    assert names == {"a": "box96", "b": "box96_exact", "c": "box96_exact"}
    assert "sampling" in project.broken["d.json"][0].what
