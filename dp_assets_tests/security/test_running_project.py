"""Everything at once in real processes: what listens where, and that no secret is written anywhere."""

import json
import os
import socket
import socketserver
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from dp_assets.example.tiny import write_tiny_project
from dp_assets_tests.end_to_end.conftest import command_line, environment_of
from dp_assets_tests.end_to_end.services import Services, processes_of, wait_until
from dp_assets_tests.orchestration.materializing import TABLES
from dp_assets_tests.security.leaks import leaks, planted_secrets
from dp_assets_tests.security.listening import listening_addresses

LOCAL = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


class Refusing(BaseHTTPRequestHandler):
    """A Slack, or an MLflow server, that says no and repeats what it was sent."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "")
        self.server.given.append(given)  # type: ignore[attr-defined]
        is_slack = self.path.startswith("/slack")
        body = (
            {"ok": False, "error": f"invalid_auth {given}"} if is_slack else {"error_code": "UNAUTHENTICATED"}
        )
        self.send_response(200 if is_slack else 401)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class RefusingMail(socketserver.StreamRequestHandler):
    """A mail server that knows nobody."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline().strip():
            self.server.given.append(line.decode())  # type: ignore[attr-defined]
            word = line.split()[0].upper()
            if word == b"EHLO":
                self.wfile.write(b"250-here\r\n250 AUTH PLAIN\r\n")
            elif word == b"AUTH":
                self.wfile.write(b"535 nobody has " + line + b"\r\n")
            else:
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")


@dataclass(frozen=True)
class Running:
    """A project at work, its services, and what servers outside were given."""

    root: Path
    services: Services
    secrets: dict[str, str]
    http: list[str]
    mails: list[str]


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    server.given = []
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("secure")
    root, secrets = folder / "project", planted_secrets()
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        http = stack.enter_context(serving(HTTPServer(("127.0.0.1", 0), Refusing)))
        mail = stack.enter_context(serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), RefusingMail)))
        for name, value in secrets.items():
            patch.setenv(name, value)
        patch.setenv("MLFLOW_TRACKING_USERNAME", "user")
        _write_project(root, http.server_address[1], mail.server_address[1], secrets)
        services = Services(root, folder / "project" / "services.log")
        services.start()
        stack.callback(services.kill_everything)
        yield Running(root, services, secrets, http.given, mail.given)


def _write_project(root: Path, http: int, mail: int, secrets: dict[str, str]) -> None:
    logging = {"comet": "comet.key", "mlflow": f"http://127.0.0.1:{http}"}
    write_tiny_project(root, overrides={"logging": logging})
    # Nothing is sent: what would be is written into an archive in the project.
    key = {"log_type": "comet_ml", "project_name": "screens", "offline_directory": str(root / "comet")}
    (root / "inputs" / "config" / "comet.key").write_text(json.dumps(key))
    notify = {
        "slack": {"channel": "#screen", "api": f"http://127.0.0.1:{http}/slack"},
        "email": {
            "sender": "a@example.org",
            "recipients": ["b@example.org"],
            "host": "127.0.0.1",
            "port": mail,
            "security": "none",
            "password_variable": "DP_MAIL_PASSWORD",
        },
    }
    settings = root / "project.yaml"
    known = yaml.safe_load(settings.read_text(encoding="utf-8")) if settings.exists() else {}
    settings.write_text(yaml.safe_dump({**(known or {}), "automation": {"notify": notify}}))
    for path in (root / "inputs" / "images" / "TINY00002").rglob("*.tiff"):
        path.write_bytes(b"no image")


def test_tables_of_the_kernel_are_read() -> None:
    with socket.socket() as local, socket.socket(socket.AF_INET) as wide:
        local.bind(("127.0.0.1", 0))
        wide.bind(("0.0.0.0", 0))
        local.listen()
        wide.listen()
        found = listening_addresses([os.getpid()])
        assert ("127.0.0.1", local.getsockname()[1]) in found
        assert ("0.0.0.0", wide.getsockname()[1]) in found


@pytest.mark.slow
def test_nothing_listens_beyond_this_machine(running: Running) -> None:
    found = listening_addresses(processes_of(running.root))
    assert ("127.0.0.1", running.services.port) in found
    assert [address for address in found if address[0] not in LOCAL] == []


@pytest.mark.slow
def test_no_secret_is_written(running: Running) -> None:
    root, services = running.root, running.services
    trained = subprocess.run(
        command_line("dp-assets", "run", "all", "--plates", "TINY00001", "--verbose"),
        env=environment_of(root),
        cwd=root,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    (root / "printed.txt").write_text(trained.stdout + trained.stderr)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    backfill = services.backfill(TABLES, ["TINY00002"])
    wait_until(lambda: services.has_ended(backfill), "the backfill is over")
    log = root / ".dagster" / "notifications.log"
    wait_until(lambda: log.exists() and "was not told" in log.read_text(encoding="utf-8"), "word was sent")
    assert [address for address in listening_addresses(processes_of(root)) if address[0] not in LOCAL] == []
    services.stop()

    # The secrets were used, so they could have been written.
    assert any(running.secrets["SLACK_BOT_TOKEN"] in given for given in running.http)
    assert any(given.startswith("Basic ") for given in running.http)
    assert any(line.startswith("AUTH PLAIN") for line in running.mails)
    assert list((root / "comet").glob("*.zip"))
    assert list(root.rglob("model_card.json"))
    assert (root / ".dagster" / "storage").is_dir()
    assert leaks(root, running.secrets) == []
