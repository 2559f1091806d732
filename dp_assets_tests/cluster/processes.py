"""Processes that play machines: each is a session of its own, so that a kill takes all of it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class Machine:
    """A process and everything it starts.

    Parameters
    ----------
    command : what it runs.
    log : the file that its output is added to.
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                cwd=log.parent,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The first process, which is also the number of its session."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the first process is there."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Like a power cut: every process at once, without a chance to say anything."""
        _signal(self.pid, signal.SIGKILL)
        self._process.wait()

    def freeze(self) -> None:
        """Let every process stand still."""
        _signal(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        _signal(self.pid, signal.SIGCONT)

    def stop(self, patience: float = 60.0, by: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end; kill what is left."""
        if self.is_running:
            self._process.send_signal(by)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        _signal(self.pid, signal.SIGKILL)
        self._process.wait()
        # The system takes a moment to end what was killed.
        wait_until(lambda: not processes_of(self.pid), f"the processes of {self.log} are gone", 30.0)

    def text(self) -> str:
        """What it said."""
        return self.log.read_text(errors="replace")


def processes_of(session: int) -> list[int]:
    """The processes of a session that are there, without those that only wait to be collected."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = stat.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


def _signal(session: int, number: signal.Signals) -> None:
    """Signal every process of a session; those of Celery are in process groups of their own."""
    for pid in processes_of(session):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, patience: float, every: float = 0.2) -> float:
    """Wait for something to happen; the seconds it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < patience, f"after {patience:.0f} seconds: not {what}"
        time.sleep(every)
    return time.monotonic() - started


def module(name: str, *arguments: str) -> list[str]:
    """A command of this environment."""
    return [sys.executable, "-m", name, *arguments]
