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


def computed_by(session: int) -> float:
    """The processor seconds of the living processes of a session, and of those of their children that ended.

    They tell how far a run is, however much else the machine has to do.
    """
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session:
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def killed_after(root: Path, seconds: float, *arguments: str) -> bool:
    """Run `dp-assets`, kill its whole process group once it computed for so long; whether it still ran."""
    process = subprocess.Popen(
        command_line("dp-assets", *arguments),
        env=environment_of(root),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None:
        hangs = time.monotonic() > deadline
        if hangs or computed_by(process.pid) > seconds:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert not hangs, "the run does not come to an end"
            return True
        time.sleep(0.01)
    assert process.returncode == 0, "the run failed instead of going on"
    return False


def kill_until_done(root: Path, stage: str, chance: random.Random, kills: int, seconds: float) -> int:
    """Kill runs at random moments of what a calm one computes, then let one end; how many were killed."""
    killed, deadline = 0, time.monotonic() + PATIENCE_SECONDS
    while killed < kills and time.monotonic() < deadline:
        if not killed_after(root, chance.uniform(0.1, 0.7) * seconds, "run", stage, *DETERMINISTIC):
            break
        killed += 1
    assert not killed_after(root, float("inf"), "run", stage, *DETERMINISTIC)
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
    before = os.times()
    done = command(calm, "dp-assets", "run", stage, *DETERMINISTIC)
    after = os.times()
    computed = after.children_user + after.children_system - before.children_user - before.children_system
    assert done.returncode == 0, done.stdout + done.stderr
    killed = kill_until_done(root, stage, random.Random(seed), kills, computed)
    assert killed > 0
    assert_same(root, calm)
