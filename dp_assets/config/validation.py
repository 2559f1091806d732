"""One section of a file checked against its settings class, with every problem put into words."""

import difflib
import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dp_assets.config.credentials import masked
from dp_assets.config.errors import Problem
from dp_assets.config.spellings import with_current_spelling

SettingsT = TypeVar("SettingsT", bound=BaseModel)

# kinds of pydantic errors whose own wording speaks to programmers
_EXPECTED = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "expected a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "expected a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "expected true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "expected a list"),
    "string_type": "expected text",
    "string_too_short": "expected text that is not empty",
    "string_pattern_mismatch": "expected only letters, digits and underscores",
    "model_type": "expected a section, with keys and values",
}


@dataclass(frozen=True)
class Reading(Generic[SettingsT]):
    """A section as read: its settings, or why there are none.

    Attributes
    ----------
    present : whether the file has the section.
    settings : the settings, None when there are problems.
    problems : everything wrong with the section; that it is missing, when it is not there.
    """

    present: bool
    settings: SettingsT | None
    problems: tuple[Problem, ...]


def read_section(
    model: type[SettingsT], data: Mapping[str, Any], section: str, file: str
) -> Reading[SettingsT]:
    """Check one section.

    Parameters
    ----------
    model : the settings class.
    data : the whole file.
    section : path of the section, such as "train.partition".
    file : the file, for messages.
    """
    found, problem = section_data(data, section, file)
    if problem is not None:
        return Reading(True, None, (problem,))
    if found is None:
        what = f'the section "{section}" is missing'
        return Reading(False, None, (Problem(what, f"{file}: {section}", f"Add it: {_skeleton(model)}."),))
    return check_settings(model, found, section, file)


def check_settings(
    model: type[SettingsT], values: Mapping[str, Any], section: str, file: str
) -> Reading[SettingsT]:
    """Check the keys of a section that is there; parameters as in :func:`read_section`."""
    current, spelled, problems = with_current_spelling(values, section, file)
    try:
        settings = model.model_validate(current)
    except ValidationError as error:
        details = _without_consequences(error.errors(include_url=False))
        problems = problems + [_in_words(detail, model, section, spelled, file) for detail in details]
        return Reading(True, None, tuple(problems))
    return Reading(True, None if problems else settings, tuple(problems))


def _without_consequences(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Drop "the list is too short" where pydantic only says so because it left out a wrong entry."""
    lists_with_wrong_entries = {detail["loc"][:-1] for detail in details}
    return [d for d in details if d["type"] != "too_short" or d["loc"] not in lists_with_wrong_entries]


def section_data(
    data: Mapping[str, Any], section: str, file: str
) -> tuple[Mapping[str, Any] | None, Problem | None]:
    """The values of a section: None when it is missing, and a problem when something else is in its place."""
    node: Any = data
    walked: list[str] = []
    for key in section.split("."):
        walked.append(key)
        node = node.get(key)
        # `"train": null` is how some people leave a section out
        if node is None:
            return None, None
        if not isinstance(node, Mapping):
            path = ".".join(walked)
            what = f"{path} is {show(node)}; expected a section, with keys and values"
            return None, Problem(what, f"{file}: {path}", "Write keys and values in braces, or remove it.")
    return node, None


def nearest_name(name: str, known: list[str]) -> str | None:
    """The known name most like this one, or None when none is much alike (case does not count)."""
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return lowered[close[0]] if close else None


def show(value: object) -> str:
    """A value as the file has it, cut to a readable length."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    if isinstance(value, str):
        value = masked(value)
        return f'"{value[:60]}…"' if len(value) > 60 else f'"{value}"'
    # reprlib keeps huge or self-similar values from filling the message
    return masked(reprlib.repr(value))


def _in_words(
    detail: ErrorDetails, model: type[BaseModel], section: str, spelled: Mapping[str, str], file: str
) -> Problem:
    # parts in angle brackets tell which kind of value pydantic tried, and are no keys of the file
    keys = [part for part in detail["loc"] if not str(part).startswith("<")]
    value = detail["input"]
    inner = detail.get("ctx", {}).get("key")
    if inner is not None:
        keys, value = [*keys, inner], value[inner]
    path = section
    for number, part in enumerate(keys):
        path += (
            f"[{part}]" if isinstance(part, int) else f".{spelled.get(part, part) if number == 0 else part}"
        )
    path = path.lstrip(".")
    message = _EXPECTED.get(detail["type"]) or detail["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "expected")
    message = message[:1].lower() + message[1:] if message.startswith("Expected") else message
    field = _field(model, keys)
    key = path.rsplit(".", 1)[-1]
    remedy = _remedy(key.split("[")[0], field)
    if detail["type"] == "missing":
        return Problem(f"{key} is missing", f"{file}: {path}", remedy)
    if isinstance(value, Mapping) and detail["type"] == "value_error":
        return Problem(f"{key}: {message}", f"{file}: {path}", "Change one of them.")
    return Problem(f"{key} is {show(value)}; {message}", f"{file}: {path}", remedy)


def _field(model: type[BaseModel], keys: list[int | str]) -> FieldInfo | None:
    """The field an error lies in; entries of lists belong to the field of the list."""
    fields: Mapping[str, FieldInfo] = model.model_fields
    field: FieldInfo | None = None
    for key in keys:
        if isinstance(key, str) and key in fields:
            field = fields[key]
            fields = _nested_fields(field)
    return field


def _nested_fields(field: FieldInfo) -> Mapping[str, FieldInfo]:
    models = [t for t in _types(field.annotation) if isinstance(t, type) and issubclass(t, BaseModel)]
    return models[0].model_fields if models else {}


def _types(annotation: Any) -> list[Any]:
    parts = getattr(annotation, "__args__", ())
    origin = getattr(annotation, "__origin__", None)
    found = [annotation] if not parts else [t for part in parts for t in _types(part)]
    return found + ([origin] if origin is not None else [])


def _remedy(key: str, field: FieldInfo | None) -> str:
    if field is None or field.description is None:
        return "Correct the value."
    example = f", for example {_entry(key, field)}" if field.examples else ""
    return f"Write {field.description}{example}."


def _entry(key: str, field: FieldInfo) -> str:
    return f'"{key}": {json.dumps((field.examples or [None])[0])}'


def _skeleton(model: type[BaseModel]) -> str:
    required = [_entry(key, field) for key, field in model.model_fields.items() if field.is_required()]
    return "{" + ", ".join(required) + "}"
