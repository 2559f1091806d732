"""The files that come with the project: experiments to copy, container, environment."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from dp_assets.cli import main
from dp_assets.config.digest import settings_digest
from dp_assets.config.evaluation_sections import METRICS
from dp_assets.config.experiment import load_experiment
from dp_assets.config.sweep_file import load_sweep
from dp_assets_tests.conftest import REPOSITORY

EXPERIMENTS = sorted(path for path in (REPOSITORY / "configs/experiments").iterdir() if path.is_file())
STAGES = {
    "bbbc021_profiles": "preparation crops profiling scoring",
    "cell_painting_cnn": "preparation crops profiling scoring",
    "cell_painting_profiles": "preparation crops profiling scoring",
    "efficientnet_train": "preparation crops training profiling scoring",
    "export_only": "preparation crops",
    "external_table": "scoring",
    "fine_tuning": "preparation crops training profiling scoring",
    "full_image": "preparation crops training profiling scoring",
    "illumination_only": "preparation",
    "imagenet_profile": "preparation crops profiling scoring",
    "masks": "preparation crops training profiling scoring",
    "online_labels": "preparation crops training profiling scoring",
}


def test_every_shipped_experiment_is_listed_here() -> None:
    assert {path.stem for path in EXPERIMENTS} == set(STAGES)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_shipped_experiments_have_their_stages_and_no_doubts(path: Path) -> None:
    experiment = load_experiment(path)
    assert " ".join(experiment.stages) == STAGES[path.stem]
    assert [problem for stage in experiment.stages for problem in experiment.problems(stage)] == []
    assert experiment.warnings == ()


def test_the_keys_shown_as_comments_are_right(tmp_path: Path) -> None:
    for path in EXPERIMENTS:
        shutil.copy(path, tmp_path)
    for path in EXPERIMENTS:
        if path.suffix == ".yaml":
            text = re.sub(r"^( {0,4})# (\w+: \S)", r"\1\2", path.read_text(), flags=re.MULTILINE)
            text = re.sub(r"^# (\w+):$", r"\1:", text, flags=re.MULTILINE)
            text = re.sub(r"^#   (\w+: )", r"  \1", text, flags=re.MULTILINE)
            (tmp_path / path.name).write_text(text)
            unknown = [p.what for p in load_experiment(tmp_path / path.name).warnings]
            assert unknown == [], path.name


def test_the_file_for_cell_painting_says_what_the_preset_says(tmp_path: Path) -> None:
    for name in ("cell_painting_cnn.yaml", "cell_painting_profiles.yaml"):
        shutil.copy(REPOSITORY / "configs/experiments" / name, tmp_path)
    data = yaml.safe_load((tmp_path / "cell_painting_profiles.yaml").read_text())
    short = {**data, "profiles": {"preset": "cell_painting", "aggregation": None, "minimum_cells": None}}
    short.pop("evaluation")
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(short))
    long, plain = (
        load_experiment(tmp_path / name).scoring() for name in ("cell_painting_profiles.yaml", "short.yaml")
    )
    assert settings_digest(long.profiles) == settings_digest(plain.profiles)
    assert set(METRICS) - set(long.evaluation.settings.metrics) == {"nsc", "nscb", "nscb_strict"}


def test_the_shipped_sweep_varies_a_shipped_experiment(tmp_path: Path) -> None:
    folder = tmp_path / "inputs/config/sweeps"
    shutil.copytree(REPOSITORY / "configs/experiments/sweeps", folder)
    name, settings = load_sweep(tmp_path, "learning_rate")
    assert name == "learning_rate"
    assert settings.experiment in STAGES
    assert settings.grid is not None
    commented = (folder / "learning_rate.yaml").read_text()
    head, _, rest = commented.partition("grid:")
    search = "\n".join(line[2:] for line in rest.splitlines() if line.startswith("# "))
    (folder / "other.yaml").write_text(head + search.replace("          # instead", "# instead"))
    _, searching = load_sweep(tmp_path, "other")
    assert searching.search is not None
    assert searching.profile


def instructions() -> list[tuple[str, str]]:
    text = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_container_is_made_of_files_that_are_there() -> None:
    kept = {
        line.removeprefix("!")
        for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {source for name, rest in instructions() if name == "COPY" for source in rest.split()[:-1]}
    assert copied == kept
    assert all((REPOSITORY / source).exists() for source in copied)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    needed = {project["readme"], *project["license-files"], "pyproject.toml", "constraints.txt", "dp_assets"}
    assert needed <= copied


def test_the_container_runs_commands_that_exist() -> None:
    known = {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "CMD"}
    assert {name for name, _ in instructions()} <= known
    for name, rest in instructions():
        if name == "RUN":
            assert subprocess.run(["sh", "-n", "-c", rest], check=False).returncode == 0, rest
    command = next(rest for name, rest in instructions() if name == "CMD")
    for used in re.findall(r"dp-assets (\w+)", command):
        assert CliRunner().invoke(main, [used, "--help"]).exit_code == 0
    text = (REPOSITORY / "Dockerfile").read_text()
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"EXTRAS=(\w+)", text)) <= set(extras)
    version = re.search(r"FROM python:(\S+)-slim", text)
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    assert version is not None
    assert f"python={version[1]}" in environment["dependencies"]


def test_the_environment_installs_this_project() -> None:
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    (pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert pip == ["--constraint constraints.txt", "--editable ."]
