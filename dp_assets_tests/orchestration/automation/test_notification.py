"""Word of failures: the log file, Slack and e-mail on local servers, a function of the project's own."""

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dp_assets.config.automation import EmailSettings, NotifySettings, SlackSettings
from dp_assets.orchestration.automation.failures import Failure, now
from dp_assets.orchestration.automation.notification import notifiers, pass_on
from dp_assets.orchestration.code_location import build_defs
from dp_assets_tests.orchestration.materializing import Workshop

TOKEN = "xoxb-very-secret"
FAILED = Failure(
    now(),
    "plate_images failed for plate Pé",
    "a.tif: it is no image\n    -> copy it again",
    "run-1",
    "prepare",
    "Pé",
)


class Slack(BaseHTTPRequestHandler):
    """Slack as far as it is needed."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.posted.append((self.path, self.headers["Authorization"], body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(self.server.answer).encode())  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Mail(socketserver.StreamRequestHandler):
    """A mail server as far as it is needed."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline().strip():
            word = line.split()[0].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line)
                self.server.mails.append(b"".join(lines).decode())  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")


def serving(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def slack() -> Iterator[Any]:
    server = HTTPServer(("127.0.0.1", 0), Slack)
    server.posted, server.answer = [], {"ok": True}  # type: ignore[attr-defined]
    yield from serving(server)


@pytest.fixture
def mail() -> Iterator[Any]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)
    server.mails = []  # type: ignore[attr-defined]
    yield from serving(server)


def slack_settings(server: Any) -> SlackSettings:
    return SlackSettings(channel="#screen", api=f"http://127.0.0.1:{server.server_address[1]}/api")


def mail_settings(server: Any, **more: Any) -> EmailSettings:
    port = server.server_address[1]
    return EmailSettings(
        sender="a@b.org", recipients=("c@d.org",), host="127.0.0.1", port=port, security="none", **more
    )


def test_everybody_is_told_and_it_is_written_down(
    slack: Any, mail: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    (tmp_path / "notify.py").write_text(
        "from pathlib import Path\ndef notify(failure):\n"
        "    Path(__file__).with_name('told').write_text(failure.what + failure.message)\n"
    )
    settings = NotifySettings(slack=slack_settings(slack), email=mail_settings(mail), plugin="notify.py")
    log = tmp_path / settings.log
    assert pass_on(FAILED, notifiers(tmp_path, settings), log) == []
    ((path, authorization, body),) = slack.posted
    assert (path, authorization) == ("/api/chat.postMessage", f"Bearer {TOKEN}")
    assert "plate_images" in body
    assert "Subject:" in mail.mails[0]
    assert "c@d.org" in mail.mails[0]
    assert (tmp_path / "told").read_text() == FAILED.what + FAILED.message
    (line,) = log.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["message"] == FAILED.message
    assert TOKEN not in line
    # a sensor that was killed after it told everybody does it again
    assert pass_on(FAILED, notifiers(tmp_path, settings), log) == []
    assert (len(slack.posted), len(mail.mails), len(log.read_text().splitlines())) == (1, 1, 1)


def test_one_that_cannot_be_told_is_logged_and_the_others_are_told(
    slack: Any, mail: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    slack.answer = {"ok": False, "error": f"invalid_auth {TOKEN}"}
    (tmp_path / "notify.py").write_text("def notify(failure):\n    raise RuntimeError('pager is off')\n")
    settings = NotifySettings(slack=slack_settings(slack), email=mail_settings(mail), plugin="notify.py")
    problems = pass_on(FAILED, notifiers(tmp_path, settings), tmp_path / "log")
    assert len(mail.mails) == 1
    assert len(problems) == 2
    assert "invalid_auth ***" in problems[0]
    assert "pager is off" in problems[1]
    text = (tmp_path / "log").read_text()
    assert len(text.splitlines()) == 3
    assert TOKEN not in text


@pytest.mark.parametrize("while_imported", [False, True])
def test_what_a_plugin_says_of_its_failure_holds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, while_imported: bool
) -> None:
    monkeypatch.setenv("PAGER_PASSWORD", "p/ss+word1")
    monkeypatch.setenv("PAGER_NUMBER", "pager-7")
    said = (
        "no answer of https://hooks.example.org:8443/services/T0SECRET/B1?key=SECRET (pager-7), "
        "HTTPSConnectionPool(host='hooks.example.org', port=8443): Max retries exceeded with url: "
        "/services/T0SECRET/B1 (Caused by x), login p/ss+word1, p%2Fss%2Bword1, Basic bWU6cC9zcyt3b3JkMQ==, "
        "smtp://me:SECRET@mail.example.org"
    )
    raising = f"raise RuntimeError({said!r})\n"
    (tmp_path / "notify.py").write_text(
        raising if while_imported else f"def notify(failure):\n    {raising}", encoding="utf-8"
    )
    ways = notifiers(tmp_path, NotifySettings(plugin="notify.py"))
    (problem,) = pass_on(FAILED, ways, tmp_path / "log")
    written = problem + (tmp_path / "log").read_text()
    for hidden in ("SECRET", "ss+word1", "ss%2B", "bWU6cC9z", "me:"):
        assert hidden not in written
    for shown in ("RuntimeError", "https://hooks.example.org:8443/***", "url: ***", "pager-7", "Caused by x"):
        assert shown in problem
    assert "automation.notify.plugin" in problem


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"slack": SlackSettings(channel="#a", token_variable="NOT_SET_HERE")}, "NOT_SET_HERE is not set"),
        (
            {
                "email": EmailSettings(
                    sender="a@b.c", recipients=("d@e.f",), host="127.0.0.1", password_variable="NOT_SET_HERE"
                )
            },
            "NOT_SET_HERE is not set",
        ),
        (
            {
                "email": EmailSettings(
                    sender="a@b.c", recipients=("d@e.f",), host="127.0.0.1", port=9, security="none"
                )
            },
            "ConnectionRefusedError",
        ),
        ({"plugin": "absent.py"}, "absent.py cannot be imported: FileNotFoundError"),
        ({"plugin": "json:notify_me"}, "json:notify_me has no function notify_me"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, settings: dict, what: str) -> None:
    ways = notifiers(tmp_path, NotifySettings(**settings))
    (problem,) = pass_on(FAILED, ways, tmp_path / "log")
    assert what in problem
    assert "project.yaml: automation.notify" in problem
    assert "->" in problem


def test_missing_package_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dagster_slack", None)
    ways = notifiers(tmp_path, NotifySettings(slack=SlackSettings(channel="#a")))
    (problem,) = pass_on(FAILED, ways, tmp_path / "log")
    assert "pip install 'dp-assets[slack]'" in problem


def test_run_that_is_retried_is_written_down_only(tmp_path: Path) -> None:
    ways = notifiers(tmp_path, NotifySettings(plugin="absent.py"))
    retried = Failure(now(), "x failed", "killed", "run-2", retried=True)
    assert pass_on(retried, ways, tmp_path / "log") == []
    assert json.loads((tmp_path / "log").read_text())["retried"] is True


def test_failure_of_a_run_says_plate_assets_and_remedy(tiny: Workshop) -> None:
    for path in (tiny.root / "inputs" / "images" / "TINY00001").rglob("*.tiff"):
        path.write_bytes(b"no image")
    assert tiny.make("image_index").succeeded
    job = build_defs(tiny.root).resolve_implicit_global_asset_job_def()
    ended = job.execute_in_process(
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        instance=tiny.instance,
        asset_selection=[dg.AssetKey("plate_images"), dg.AssetKey("cell_locations")],
        partition_key="TINY00001",
        raise_on_error=False,
        tags={"dp/automation": "nightly_backfill"},
    )
    sensor = build_defs(tiny.root).get_repository_def().get_sensor_def("failures")
    context = dg.build_run_status_sensor_context(
        sensor_name="failures",
        dagster_event=ended.get_run_failure_event(),
        dagster_instance=tiny.instance,
        dagster_run=ended.dagster_run,
    ).for_run_failure()
    sensor(context)
    written = json.loads((tiny.root / ".dagster" / "notifications.log").read_text())
    assert written["plate"] == "TINY00001"
    assert written["assets"] == ["plate_images"]
    assert written["run_id"] == ended.run_id
    assert written["started_by"] == "nightly_backfill"
    assert "->" in written["message"]
