"""The tiny projects of the orchestration tests, and commands run in processes of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dp_assets_tests.orchestration.conftest import (
    finished,
    finished_template,
    no_environment,
    open_streams,
    tiny,
    tiny_template,
    write_project,
)

__all__ = [
    "finished",
    "finished_template",
    "no_environment",
    "open_streams",
    "tiny",
    "tiny_template",
    "write_project",
]

Command = Callable[..., subprocess.CompletedProcess[str]]
MODULES = {
    "dp-assets": "dp_assets.cli",
    "dagster": "dagster",
}
STOPPING = Path(__file__).with_name("stopping.py")


def environment_of(root: Path) -> dict[str, str]:
    """The variables a user sets for a project: its folder and its Dagster instance."""
    return {**os.environ, "DP_PROJECT": str(root), "DAGSTER_HOME": str(root / ".dagster")}


def command_line(program: str, *arguments: str) -> list[str]:
    """A command of this environment, wherever its scripts are; or a script of the tests."""
    script = [program] if program.endswith(".py") else ["-m", MODULES[program]]
    return [sys.executable, *script, *arguments]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run a program with arguments for the project at `root`."""

    def run(root: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command_line(program, *arguments),
            env=environment_of(root),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
