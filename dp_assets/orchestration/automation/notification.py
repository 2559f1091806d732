"""Passing failures on: to the log file of the project, and to whom else its `project.yaml` names."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dp_assets.config.automation import NotifySettings
from dp_assets.orchestration.automation.failures import Failure

Send = Callable[[Failure], None]


@dataclass(frozen=True)
class Notifier:
    """One way to tell somebody.

    Attributes
    ----------
    name : for messages.
    send : raises whatever goes wrong.
    """

    name: str
    send: Send


def notifiers(root: Path, settings: NotifySettings) -> list[Notifier]:
    """The log file first, then what else `automation.notify` names. Nothing is imported or connected yet."""
    return [Notifier("log file", lambda failure: write_line(root / settings.log, failure))]


def pass_on(failure: Failure, ways: list[Notifier]) -> list[str]:
    """Tell everybody; what could not be sent is returned, and keeps nothing else from being sent."""
    problems = []
    for way in ways:
        try:
            way.send(failure)
        except Exception as error:  # whatever a mail server or a plug-in does, the others are told
            problems.append(f"{way.name}: {error}")
    return problems


def write_line(path: Path, failure: Failure) -> None:
    """Append a failure to the log; lines are written whole, by several processes too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{failure.line()}\n".encode())
    finally:
        os.close(descriptor)
