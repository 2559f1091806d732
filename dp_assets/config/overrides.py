"""Keys of experiments changed for one run: ``--set train.model.epochs=5``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.inheritance import merged
from dp_assets.config.reading import Document, parse_value
from dp_assets.config.spellings import without_other_spellings
from dp_assets.config.unknown_keys import unknown_keys

VARIABLE = "DP_SET"
# Sections that say which stages an experiment has.
STAGES = ("prepare", "train", "profile", "features")
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

    def check(self, where: str = "--set") -> None:
        """Raise ConfigurationError when an assignment has no key or no "=", or sets a key that is unknown."""
        unknown = unknown_keys(with_assignments({}, self.assignments), where)
        if unknown:
            # In a file unknown keys are ignored; a key given for one run was surely meant.
            raise ConfigurationError([replace(p, what=p.what.partition(";")[0]) for p in unknown])

    def applied(self, document: Document, experiment: str) -> Document:
        """The document with the assignments made that are for this experiment.

        Unless experiments are named, an assignment leaves files alone that do not have its stage: setting the
        number of epochs does not make a training of an experiment that only profiles.
        """
        if self.experiments and experiment not in self.experiments:
            return document
        meant = [text for text in self.assignments if self.experiments or _has_stage(document, text)]
        return replace(document, data=with_assignments(document.data, meant)) if meant else document


def with_assignments(data: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Plain values of a configuration with assignments made, in order; raises ConfigurationError."""
    result = dict(data)
    for text in assignments:
        path, value = _parsed(text)
        change: dict[str, Any] = {path[-1]: value}
        for part in reversed(path[:-1]):
            change = {part: change}
        result = merged(without_other_spellings(result, change), change)
    return result


def _has_stage(document: Document, assignment: str) -> bool:
    section = assignment.partition("=")[0].strip().partition(".")[0]
    return section not in STAGES or document.data.get(section) is not None


def _parsed(text: str) -> tuple[list[str], Any]:
    key, equals, value = text.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or not all(path):
        raise ConfigurationError(f"{text!r} sets nothing", where="--set", remedy=_REMEDY)
    return path, parse_value(value, f"--set {key.strip()}")
