"""The command `dp-assets ui`: Dagster's services on a project, started again when they end by themselves."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import click

from dp_assets.cli.command_group import console
from dp_assets.cli.project_option import existing_project, project_option
from dp_assets.config.automation import THIS_MACHINE
from dp_assets.orchestration.launcher import BACKFILLS_WAIT
from dp_assets.orchestration.project_setup import set_up_project
from dp_assets.orchestration.stage_runner import project_instance
from dp_assets.storage.layout import ProjectLayout

# Services that end sooner than this, time after time, cannot work: a port in use, a broken installation.
SHORT_LIFE_SECONDS = 60.0
SHORT_LIVES = 3
# PR_SET_PDEATHSIG of linux/prctl.h
SET_DEATH_SIGNAL = 1
# Loaded here: between fork and exec nothing should be.
SYSTEM = ctypes.CDLL(None) if sys.platform == "linux" else None
STOP_SECONDS = 60.0


@click.command()
@project_option
@click.option("--port", type=int, default=3000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
def ui(port: int, host: str) -> None:
    """Start the Dagster UI on the project, with everything that runs by itself (stop it with Ctrl+C)."""
    root = existing_project().resolve()
    set_up_project(root)
    home = os.environ.get("DAGSTER_HOME") or str(ProjectLayout.of(root).dagster_home)
    environment = {
        **os.environ,
        "DP_PROJECT": str(root),
        "DAGSTER_HOME": home,
        BACKFILLS_WAIT: "1",
    }
    command = [sys.executable, "-m", "dagster", "dev", "-m", "dp_assets.definitions"]
    # So the daemon itself starts the code server, and starts it anew when it is gone.
    command += ["--use-legacy-code-server-behavior", "-p", str(port), "-h", host]
    console.print(f"http://{host}:{port}")
    if host not in THIS_MACHINE:
        console.print(
            "[yellow]There is no login[/yellow]: whoever reaches this port can start runs "
            "(docs/reliability.md, Security)"
        )
    sys.exit(_keep_running(root, command, environment))


def _keep_running(root: Path, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command until this process is told to stop; returns the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    short_lives = 0
    while short_lives < SHORT_LIVES:
        with project_instance(root, serving=True):
            # Opening it gives back what killed runs hold, and every device its place in the pool `gpu`.
            pass
        began = time.monotonic()
        # In a session of its own: Ctrl+C reaches it once, from here.
        process = subprocess.Popen(
            command, env=environment, start_new_session=True, preexec_fn=_end_with_parent
        )
        try:
            process.wait()
        except KeyboardInterrupt:
            return _stop(process)
        # What it leaves would be in the way of the next one: a web server on the same port, a second daemon.
        _kill_session(process.pid)
        short_lives = short_lives + 1 if time.monotonic() - began < SHORT_LIFE_SECONDS else 0
        console.print("[yellow]Dagster has ended by itself[/yellow], and is started again")
    console.print("[red]Dagster keeps ending[/red]: see its messages above")
    return 1


def _stop(process: subprocess.Popen) -> int:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        _kill_session(process.pid)
    return 0


def _kill_session(leader: int) -> None:
    """Kill whatever is left of the services, runs included; those are noticed and started again."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _end_with_parent() -> None:
    """In the new process: be told to stop when this command is killed, where the system offers that.

    Programs started in the background of a script ignore SIGINT, and so would their children.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if SYSTEM is not None:
        SYSTEM.prctl(SET_DEATH_SIGNAL, signal.SIGINT)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
