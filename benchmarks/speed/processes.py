"""Processes that are measured from outside."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.result import ProcessRun

REPOSITORY = Path(__file__).resolve().parents[2]
LOG_LINES = 30
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}


class ProcessError(RuntimeError):
    """A measured process ended with an error; the message has the end of what it printed."""


def measured(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> tuple[ProcessRun, float]:
    """Run a command; what it took, and when it began (seconds since 1970).

    Parameters
    ----------
    command : program and arguments.
    log : its output is added to this file.
    environment : variables that are set besides those of this process.

    Raises
    ------
    ProcessError : its exit code is not 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        launcher = [sys.executable, "-S", "-m", "benchmarks.speed.launch", report.name, str(log), *command]
        variables = {**os.environ, **QUIET, "PYTHONPATH": str(REPOSITORY), **(environment or {})}
        done = subprocess.run(launcher, env=variables, check=False)
        if done.returncode:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
            raise ProcessError(f"{' '.join(command)} ended with code {done.returncode}:\n" + "\n".join(lines))
        facts = json.loads(Path(report.name).read_text(encoding="utf-8"))
    return ProcessRun(facts["wall_s"], facts["cpu_s"], facts["peak_bytes"]), facts["began"]


def own_module(module: str, request: Mapping[str, Any], log: Path) -> tuple[ProcessRun, dict[str, Any]]:
    """Run a module of this package with a request as JSON; what it took, and the JSON it answers with.

    Times in the answer's `marks` come back as seconds since the process began.
    """
    with tempfile.TemporaryDirectory(prefix="dp-assets-bench-") as name:
        asked, answered = Path(name) / "request.json", Path(name) / "answer.json"
        asked.write_text(json.dumps(request), encoding="utf-8")
        command = [sys.executable, "-m", f"benchmarks.speed.{module}", str(asked), str(answered)]
        run, began = measured(command, log)
        answer = json.loads(answered.read_text(encoding="utf-8"))
    marks = {what: when - began for what, when in answer.pop("marks", {}).items()}
    return ProcessRun(run.wall_s, run.cpu_s, run.peak_bytes, marks), answer
