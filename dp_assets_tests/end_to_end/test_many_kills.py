"""`dp-assets` killed at many random moments until it gets through: the results are those of a calm run."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from dp_assets.example.tiny import write_tiny_project
from dp_assets.orchestration.stage_runner import project_instance
from dp_assets_tests.conftest import REPOSITORY
from dp_assets_tests.end_to_end.conftest import Command, command_line, environment_of
from dp_assets_tests.orchestration.materializing import INDEX, Workshop
from dp_assets_tests.published_contents import differences, fingerprints

PATIENCE_SECONDS = 900.0
# Without it TensorFlow adds in another order every time, and two calm trainings differ, too.
DETERMINISTIC = ("--run-config", str(REPOSITORY / "configs" / "runs" / "deterministic_cpu.yaml"))


def killed_after(root: Path, seconds: float, *arguments: str) -> bool:
    """Run `dp-assets`, kill its whole process group after so long; whether it was still running."""
    process = subprocess.Popen(
        command_line("dp-assets", *arguments),
        env=environment_of(root),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    assert process.returncode == 0, "the run failed instead of going on"
    return False


def kill_until_done(root: Path, stage: str, chance: random.Random, kills: int, duration: float) -> int:
    """Kill runs at random moments of their duration, then let one end; how many were killed.

    A process takes some seconds to begin, so that a moment of the whole calm duration may be any of its work.
    """
    killed, deadline = 0, time.monotonic() + PATIENCE_SECONDS
    while killed < kills and time.monotonic() < deadline:
        if not killed_after(root, chance.uniform(0.4, 1.0) * duration, "run", stage, *DETERMINISTIC):
            break
        killed += 1
    assert not killed_after(root, PATIENCE_SECONDS, "run", stage, *DETERMINISTIC)
    return killed


def assert_same(root: Path, calm: Path) -> None:
    assert differences(fingerprints(calm / "outputs"), fingerprints(root / "outputs")) == []
    assert not any((root / ".work").rglob("parts/*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "kills", "seed"), [("prepare", 2, 1), *(("all", 4, seed) for seed in (1, 2, 3))]
)
def test_killed_at_random_moments(
    tmp_path: Path, command: Command, stage: str, kills: int, seed: int
) -> None:
    settings: dict[str, Any] = {"plates": 1, "wells": 4 if stage == "prepare" else 8, "epochs": 3}
    calm, root = tmp_path / "calm", tmp_path / "killed"
    for project in (calm, root):
        write_tiny_project(project, **settings)
        with project_instance(project) as instance:
            assert Workshop(project, instance).make(*INDEX).succeeded
    started = time.monotonic()
    done = command(calm, "dp-assets", "run", stage, *DETERMINISTIC)
    duration = time.monotonic() - started
    assert done.returncode == 0, done.stdout + done.stderr
    killed = kill_until_done(root, stage, random.Random(seed), kills, duration)
    assert killed > 0
    assert_same(root, calm)
