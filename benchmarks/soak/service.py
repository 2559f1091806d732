"""The service of a project, kept going as systemd would: restarted when it ends, nothing of it left over."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

MARK = "DP_SOAK"
_KINDS = {
    "daemon": "dagster._daemon",
    "webserver": "dagster_webserver",
    "code server": "api grpc",
    "code server proxy": "code-server start",
    "run": "multiprocessing.spawn",
    "supervised": "dagster dev",
}


@dataclass(frozen=True)
class ServiceProcess:
    """A process of the service: its number, and what it is ("run", "daemon", ...)."""

    pid: int
    kind: str


@dataclass
class Service:
    """`dp-assets ui` on a project, in a session of its own.

    Attributes
    ----------
    root : the project.
    port : of the UI.
    log : where its output goes.
    mark : value of an environment variable by which all its processes are known, orphans included.
    starts : how often it was started.
    """

    root: Path
    port: int
    log: Path
    mark: str
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start the service."""
        command = [sys.executable, "-m", "dp_assets.cli", "ui", "--project", str(self.root)]
        environment = {**os.environ, MARK: self.mark, "DAGSTER_HOME": str(self.root / ".dagster")}
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                env=environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.starts += 1

    def keep_going(self) -> bool:
        """Start it again if it ended; whether that was so. What was left of it is killed first."""
        if self._process is None or self._process.poll() is None:
            return False
        kill_all(self.processes())
        self.start()
        return True

    def stop(self, patience_seconds: float = 60.0) -> None:
        """Stop as Ctrl+C does, and wait for all its processes to end."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
        deadline = time.monotonic() + patience_seconds
        while time.monotonic() < deadline and self.processes():
            if self._process is not None:
                self._process.poll()
            time.sleep(0.5)

    def processes(self) -> list[ServiceProcess]:
        """All living processes that carry the mark, wherever their parent is."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (kind := self._kind(entry)) is not None:
                found.append(ServiceProcess(int(entry.name), kind))
        return found

    def _kind(self, entry: Path) -> str | None:
        """What a process is; None when it is not of this service, or gone, or a zombie."""
        wanted = f"{MARK}={self.mark}".encode()
        try:
            if wanted not in (entry / "environ").read_bytes().split(b"\0"):
                return None
            if (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return None
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, IndexError):
            return None
        return next((kind for kind, words in _KINDS.items() if words in command), "other")


def kill_all(processes: list[ServiceProcess]) -> None:
    """SIGKILL to each of them; those that are gone already do not matter."""
    for process in processes:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
