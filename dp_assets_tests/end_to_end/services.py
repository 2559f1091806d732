"""Dagster's services on a project, as processes of their own that a test may kill."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dp_assets_tests.end_to_end.conftest import command_line, environment_of

PATIENCE_SECONDS = 300.0
# What the command line of each kind of process holds.
DAEMON, WEB_SERVER, CODE_PROXY, CODE_SERVER, RUN = (
    "dagster._daemon",
    "dagster_webserver",
    "code-server start",
    "api grpc",
    "spawn_main",
)
BACKFILL = """
mutation($p: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $p) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""
BACKFILL_STATE = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename ... on PartitionBackfill { status error { message } } ... on PythonError { message }
  }
}
"""
LOCATIONS = """
query { workspaceOrError { ... on Workspace {
  locationEntries { locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""


def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a condition; fail with `what` when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {what}"
        time.sleep(0.1)


def processes_of(root: Path) -> dict[int, str]:
    """Process number -> command line of every living process that was started for a project."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"DP_PROJECT={root}".encode() not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if command:
            found[int(folder.name)] = command
    return found


@dataclass
class Services:
    """`dp-assets ui` on a project: web server, daemon, code server, and the runs that they start.

    Attributes
    ----------
    root : the project, with its instance.
    log : where the services write to.
    """

    root: Path
    log: Path
    port: int = 0
    _main: list[subprocess.Popen] = field(default_factory=list)

    def start(self) -> None:
        """Start everything, and wait until the assets are loaded."""
        self.port = _free_port()
        with self.log.open("ab") as stream:
            process = subprocess.Popen(
                command_line("dp-assets", "ui", "--port", str(self.port)),
                env=environment_of(self.root),
                cwd=self.log.parent,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self._main.append(process)
        wait_until(self.is_ready, f"the services are up: {self.log}")

    def start_if_gone(self) -> None:
        """Start everything again when it was killed, as the machine does when it comes up."""
        if self._main[-1].poll() is not None:
            self.start()

    def is_ready(self) -> bool:
        """Whether the web server answers, and the code is loaded."""
        assert self._main[-1].poll() is None, self.log.read_text(errors="replace")[-3000:]
        try:
            entries = self.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        loaded = [entry["locationOrLoadError"] for entry in entries]
        return bool(loaded) and all(item and item["__typename"] == "RepositoryLocation" for item in loaded)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The answer of the web server to a GraphQL query."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = json.load(answer)
        assert not content.get("errors"), content
        return content["data"]

    def backfill(self, assets: Sequence[str], plates: Sequence[str]) -> str:
        """Ask for assets of several plates; returns the backfill's id."""
        asked = {
            "assetSelection": [{"path": name.split("/")} for name in assets],
            "partitionNames": list(plates),
        }
        answer = self.ask(BACKFILL, p=asked)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return answer["backfillId"]

    def state_of(self, backfill: str) -> dict[str, Any]:
        """How far a backfill is: its status, and its error if there is one."""
        return self.ask(BACKFILL_STATE, id=backfill)["partitionBackfillOrError"]

    def has_ended(self, backfill: str) -> bool:
        """Whether a backfill is over, one way or the other; services that start again cannot tell."""
        try:
            status = self.state_of(backfill)["status"]
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return status.startswith(("COMPLETED", "FAIL", "CANCEL"))

    def processes(self, kind: str) -> list[int]:
        """The living processes of a kind (`RUN`, `DAEMON`, ...)."""
        return [pid for pid, command in processes_of(self.root).items() if kind in command]

    def kill(self, *kinds: str) -> None:
        """Kill every process of some kinds, without warning."""
        found = [pid for kind in kinds for pid in self.processes(kind)]
        assert found, (kinds, processes_of(self.root))
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not set(found) & set(processes_of(self.root)), f"{kinds} are gone", 30)

    def kill_command(self) -> None:
        """Kill `dp-assets ui` alone: everything it has started has to end with it."""
        self._main[-1].kill()
        self._main[-1].wait()
        wait_until(lambda: not processes_of(self.root), "no process outlives the command", 60)

    def kill_everything(self) -> None:
        """Kill every process of the project at once, as when the machine goes down."""
        while found := processes_of(self.root):
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            for process in self._main:
                process.wait()

    def stop(self) -> None:
        """End everything in order, as Ctrl+C does."""
        self._main[-1].terminate()
        self._main[-1].wait(timeout=60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
