"""Passing failures on: to the log file of the project, and to whom else its `project.yaml` names."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dp_assets.config.automation import NotifySettings
from dp_assets.orchestration.automation.email_notice import send_email
from dp_assets.orchestration.automation.failures import Failure, now
from dp_assets.orchestration.automation.own_notice import call_own
from dp_assets.orchestration.automation.slack_notice import post_to_slack

TAIL_BYTES = 2**20


@dataclass(frozen=True)
class Notifier:
    """One way to tell somebody.

    Attributes
    ----------
    name : for messages.
    send : raises whatever goes wrong.
    """

    name: str
    send: Callable[[Failure], None]


def notifiers(root: Path, settings: NotifySettings) -> list[Notifier]:
    """Whom `automation.notify` names, besides the log file. Nothing is imported or connected yet."""
    slack, email, plugin = settings.slack, settings.email, settings.plugin
    ways = []
    if slack is not None:
        ways.append(Notifier("Slack", lambda failure: post_to_slack(failure, slack)))
    if email is not None:
        ways.append(Notifier("e-mail", lambda failure: send_email(failure, email)))
    if plugin is not None:
        ways.append(Notifier(plugin, lambda failure: call_own(failure, plugin, root)))
    return ways


def pass_on(failure: Failure, ways: Sequence[Notifier], log: Path) -> list[str]:
    """Tell everybody, then write it down; a run that stands in the log was told before.

    A run that is about to be retried is written down only.

    Returns
    -------
    What could not be sent and why; it stands in the log too, and keeps nothing else from being sent.
    """
    if failure.run_id and failure.run_id in _tail(log):
        return []
    problems = []
    for way in () if failure.retried else ways:
        try:
            way.send(failure)
        except Exception as error:  # whatever a mail server or a plug-in does, the others are told
            problems.append(f"{way.name} was not told of this failure: {error}")
    write_line(log, failure)
    for problem in problems:
        write_line(log, Failure(now(), "a notification could not be sent", problem, run_id=failure.run_id))
    return problems


def write_line(path: Path, failure: Failure) -> None:
    """Append a failure to the log; lines are written whole, by several processes too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{failure.line()}\n".encode())
    finally:
        os.close(descriptor)


def _tail(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return stream.read().decode("utf-8", errors="replace")
