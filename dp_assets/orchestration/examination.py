"""What the doctor looked at, and what it found."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from dp_assets.config.errors import Problem, ProjectError

Found = TypeVar("Found")


@dataclass
class Examination:
    """What the doctor looked at and found.

    Attributes
    ----------
    name : what was looked at.
    summary : one line about it.
    problems : what keeps work from succeeding.
    warnings : what may be a mistake.
    """

    name: str
    summary: str = ""
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def attempt(found: Examination, action: Callable[[], Found]) -> Found | None:
    """The result of an action, or None with its problems noted."""
    try:
        return action()
    except ProjectError as error:
        found.problems += error.problems
        return None
