"""Keys of experiments changed for one run: ``--set train.model.epochs=5``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.inheritance import merged
from dp_assets.config.reading import Document, parse_value

VARIABLE = "DP_SET"
_REMEDY = "Write a key with its section, and a value: train.model.params.learning_rate=0.01."


@dataclass(frozen=True)
class Overrides:
    """Assignments, and the experiments they are for.

    Attributes
    ----------
    assignments : "section.key=value" each; the value is read as YAML (null takes a key away).
    experiments : names of experiments; empty for all.
    """

    assignments: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Overrides":
        """What ``DP_SET`` says (as :meth:`as_text` wrote it); nothing when it is not set.

        Raises
        ------
        ConfigurationError : the variable holds something else.
        """
        text = environment.get(VARIABLE)
        if not text:
            return cls()
        try:
            values = json.loads(text)
            return cls(tuple(map(str, values["set"])), tuple(map(str, values.get("experiments", ()))))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ConfigurationError(
                f"{text[:80]!r} cannot be read",
                where=f"${VARIABLE}",
                remedy='Write JSON such as {"set": ["train.model.epochs=5"], "experiments": ["cnn"]}.',
            ) from None

    def as_text(self) -> str:
        """The value of ``DP_SET`` that means these overrides."""
        return json.dumps({"set": list(self.assignments), "experiments": list(self.experiments)})

    def applied(self, document: Document, experiment: str) -> Document:
        """The document with the assignments made, when they are for this experiment.

        Raises
        ------
        ConfigurationError : an assignment has no key or no "=".
        """
        if not self.assignments or (self.experiments and experiment not in self.experiments):
            return document
        return replace(document, data=with_assignments(document.data, self.assignments))


def with_assignments(data: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Plain values of a configuration with assignments made, in order; raises ConfigurationError."""
    result = dict(data)
    for text in assignments:
        path, value = _parsed(text)
        change: dict[str, Any] = {path[-1]: value}
        for part in reversed(path[:-1]):
            change = {part: change}
        result = merged(result, change)
    return result


def _parsed(text: str) -> tuple[list[str], Any]:
    key, equals, value = text.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or not all(path):
        raise ConfigurationError(f"{text!r} sets nothing", where="--set", remedy=_REMEDY)
    return path, parse_value(value, f"--set {key.strip()}")
