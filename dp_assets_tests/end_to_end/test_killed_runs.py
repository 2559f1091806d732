"""Runs killed without warning: the next one goes on, and ends as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from dp_assets.example.tiny import write_tiny_project
from dp_assets.orchestration.stage_runner import project_instance
from dp_assets_tests.end_to_end.conftest import Command, command_line, environment_of
from dp_assets_tests.orchestration.materializing import MODEL, PIXELS, TABLES, Workshop, contents

PLATE = "TINY00001"
PATIENCE_SECONDS = 120.0


def kill_when(root: Path, condition: Callable[[], bool], *arguments: str) -> None:
    """Start `dp-assets`, and kill it with its children as soon as the condition holds."""
    process = subprocess.Popen(
        command_line("dp-assets", *arguments),
        env=environment_of(root),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert process.poll() is None, "the run ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def visible(folder: Path) -> set[str]:
    """What readers look at: everything but hidden, unfinished files."""
    return {name for name in contents(folder) if not any(part.startswith(".") for part in name.split("/"))}


def statuses(root: Path) -> list[DagsterRunStatus]:
    """How the runs of a project ended, newest first."""
    with DagsterInstance.from_config(str(root / ".dagster")) as instance:
        return [run.status for run in instance.get_runs()]


@pytest.mark.parametrize(
    ("asset", "published", "sites_per_well"),
    [
        ("compressed_images", f"compressed/images/{PLATE}/MANIFEST.json", 3),
        # Its progress is kept every 32 sites.
        pytest.param("illumination_functions", f"intensities/{PLATE}.npz", 6, marks=pytest.mark.slow),
    ],
)
def test_a_killed_preparation_goes_on_and_ends_the_same(
    tmp_path: Path, command: Command, asset: str, published: str, sites_per_well: int
) -> None:
    settings: dict[str, Any] = {
        "plates": 1,
        "wells": 24,
        "sites_per_well": sites_per_well,
        "cells_per_site": 2,
    }
    undisturbed = Workshop(tmp_path / "undisturbed")
    write_tiny_project(undisturbed.root, **settings)
    undisturbed.make("image_index")
    undisturbed.make(*TABLES, "image_quality", plate=PLATE)
    assert undisturbed.make("illumination_functions", "compressed_images", plate=PLATE).succeeded

    root = tmp_path / "disturbed"
    write_tiny_project(root, **settings)
    with project_instance(root) as instance:
        assert Workshop(root, instance).make("image_index").succeeded
    work = root / ".work" / asset / PLATE
    kill_when(root, lambda: work.is_dir() and any(work.rglob("*.*")), "run", "prepare")
    assert not (root / "outputs" / published).exists()
    assert visible(root / "outputs") <= visible(undisturbed.root / "outputs")

    done = command(root, "dp-assets", "run", "prepare")
    assert done.returncode == 0, done.stdout + done.stderr
    expected, found = contents(undisturbed.root / "outputs"), contents(root / "outputs")
    assert {name for name in found if "/." in name} == set(), "leftovers of the killed run"
    assert found == expected
    assert statuses(root)[:2] == [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE]
    assert not any((root / ".work").rglob("parts/*"))


def test_a_killed_training_goes_on_after_its_last_epoch(tmp_path: Path, command: Command) -> None:
    settings: dict[str, Any] = {"plates": 1, "epochs": 8, "wells": 8}
    undisturbed, root = Workshop(tmp_path / "undisturbed"), tmp_path / "disturbed"
    write_tiny_project(undisturbed.root, **settings)
    undisturbed.make("image_index")
    assert undisturbed.make(*TABLES, *PIXELS, plate=PLATE).succeeded
    shutil.copytree(undisturbed.root, root)
    with project_instance(root) as instance:
        assert Workshop(root, instance).make("image_index").succeeded
    assert undisturbed.make(*MODEL).succeeded

    log = root / ".work" / "cnn" / "trained_model" / "training" / "log.csv"
    kill_when(root, lambda: log.exists() and len(log.read_bytes().splitlines()) >= 2, "run", "train")
    finished = len(log.read_bytes().splitlines()) - 1
    assert 1 <= finished < 8
    assert not (root / "outputs" / "cnn" / "trained_model").exists()

    done = command(root, "dp-assets", "run", "train")
    assert done.returncode == 0, done.stdout + done.stderr
    model = root / "outputs" / "cnn" / "trained_model"
    manifest = json.loads((model / "MANIFEST.json").read_text(encoding="utf-8"))
    assert manifest["resumed_from"] >= 1
    resumed, whole = (
        pd.read_csv(folder / "outputs" / "cnn" / "trained_model" / "log.csv").drop(columns="seconds")
        for folder in (root, undisturbed.root)
    )
    assert list(resumed["epoch"]) == list(range(1, 9))
    pd.testing.assert_frame_equal(resumed, whole, rtol=1e-5)
    expected = visible(undisturbed.root / "outputs" / "cnn" / "trained_model")
    assert {without_event_files(name) for name in visible(model)} == set(map(without_event_files, expected))


def without_event_files(name: str) -> str:
    """TensorBoard's files are named by time and process."""
    return name.split("events.out", 1)[0]
