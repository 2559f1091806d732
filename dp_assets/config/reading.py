"""From a JSON or YAML file to plain values, with the line and column of whatever is wrong in it."""

import json
import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dp_assets.config.errors import ConfigurationError, Problem

ENDINGS = (".json", ".yaml", ".yml")


@dataclass(frozen=True)
class Document:
    """A configuration file as plain values.

    Attributes
    ----------
    path : the file.
    data : the mapping at its top level.
    warnings : keys that occur twice (the last one counts, as in the original program).
    """

    path: Path
    data: dict[str, Any]
    warnings: tuple[Problem, ...] = ()


def read_document(path: Path, *, may_be_empty: bool = False) -> Document:
    """Read a configuration file.

    Parameters
    ----------
    path : a .json, .yaml or .yml file in UTF-8.
    may_be_empty : take a file without content (or with comments only) as an empty mapping.

    Raises
    ------
    ConfigurationError
        The file is missing or unreadable, its syntax is wrong (with line and column), or its top level is no
        mapping.
    """
    text = _read_text(path)
    repeated: list[str] = []
    try:
        data = (
            _parse_json(text, path, repeated)
            if path.suffix.lower() == ".json"
            else _parse_yaml(text, path, repeated)
        )
    except RecursionError:
        raise ConfigurationError(
            "the file is nested too deeply to be read",
            where=str(path),
            remedy="Start from an example configuration.",
        ) from None
    if data is None and may_be_empty:
        data = {}
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise ConfigurationError(
            f"the file holds {found}; expected sections (dataset, prepare, train, profile)",
            where=str(path),
            remedy="Start from an example configuration.",
        )
    warnings = tuple(
        Problem(
            f'the key "{key}" occurs twice in one section; only the last one counts',
            f"{path}: {key}",
            "Remove one of them.",
        )
        for key in dict.fromkeys(repeated)
    )
    return Document(path, {str(key): value for key, value in data.items()}, warnings)


def parse_value(text: str, where: str) -> Any:
    """A value as YAML 1.2 reads it: ``0.01``, ``true``, ``[DNA, ER]``, ``null``, or a word.

    Parameters
    ----------
    where : what the value belongs to, for the message.

    Raises
    ------
    ConfigurationError
        The text is no YAML value.
    """
    try:
        loader = _Loader(text)
        loader.repeated = []
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(
            f"the value {text!r} cannot be read: {error}", where=where, remedy="Put text into quotes."
        ) from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        what, remedy = "there is no such file", "Check the name, or write the file."
    except UnicodeDecodeError as error:
        what, remedy = f"byte {error.start} is not UTF-8 text", "Save the file as UTF-8 text."
    except OSError as error:
        what, remedy = f"the file cannot be read: {error.strerror}", "Check the file and its permissions."
    raise ConfigurationError(what, where=str(path), remedy=remedy)


def _syntax_error(path: Path, text: str, message: str, line: int, column: int) -> ConfigurationError:
    lines = text.splitlines()
    shown = lines[line - 1].strip()[:80] if 0 < line <= len(lines) else "(end of the file)"
    return ConfigurationError(
        f"{message}, at: {shown}",
        where=f"{path}: line {line}, column {column}",
        remedy="Put the syntax right there or just before: often a comma, quote or bracket is amiss.",
    )


def _parse_json(text: str, path: Path, repeated: list[str]) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [key for key, _ in items]
        repeated.extend(key for key in dict.fromkeys(names) if names.count(key) > 1)
        return dict(items)

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise _syntax_error(path, text, f"not JSON: {error.msg}", error.lineno, error.colno) from None
    except ValueError as error:  # a number of thousands of digits
        raise ConfigurationError(f"not usable JSON: {error}", where=str(path), remedy="Correct it.") from None


# tag -> the plain (unquoted) values it stands for, and the characters these begin with; YAML 1.2, core schema
_PLAIN_VALUES = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "null": (r"~|null|Null|NULL|", ("~", "n", "N", "")),
    "int": (r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    "float": (r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    "merge": (r"<<", "<"),
}


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, (pattern, beginnings) in _PLAIN_VALUES.items():
        for character in beginnings:
            entry = (f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"))
            resolvers.setdefault(character, []).append(entry)
    return resolvers


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain values: `no` is a word, `1e-3` a number, `012` and `2020-01-01` text.

    Labels and plate names look like that, and YAML 1.1 would turn them into truth values, octals and dates.
    """

    yaml_implicit_resolvers = _resolvers()
    repeated: list[str]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [str(key.value) for key, _ in node.value]
        self.repeated.extend(name for name in dict.fromkeys(names) if names.count(name) > 1)
        return super().construct_mapping(node, deep)


def _parse_yaml(text: str, path: Path, repeated: list[str]) -> Any:
    try:
        loader = _Loader(text)
        loader.repeated = repeated
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise _syntax_error(path, text, f"not YAML: {error.problem or error.context}", line, column) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(
            f"not YAML: {error}", where=str(path), remedy="Remove characters that are not plain text."
        ) from None
