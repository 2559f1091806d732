"""`.keras` archives that others made: no bombs, and what in them is code."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

CONFIG = "config.json"
LEAST_BYTES = 2**28
"""Members and arrays up to this size are read however small they are in the file."""

MOST_EXPANSION = 100
"""Weights hardly shrink when they are compressed; zeros shrink a thousandfold."""


def check_expansion(size: int, stored: int, name: str) -> None:
    """Refuse what claims far more memory than it takes in the file.

    Parameters
    ----------
    size, stored : bytes in memory, and in the file.

    Raises
    ------
    OSError : it is larger than `LEAST_BYTES`, and than `MOST_EXPANSION` times what is stored.
    """
    if size > max(LEAST_BYTES, MOST_EXPANSION * stored):
        raise OSError(f"{name} claims {size:,} bytes, but only {stored:,} of it are in the file")


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The content of a member. OSError when it claims far more bytes than are in the archive."""
    member = archive.getinfo(name)
    check_expansion(member.file_size, member.compress_size, name)
    return archive.read(member)


def foreign_code(path: Path) -> str:
    """What in a `.keras` file is code, or asks for code, that is not known here, in words; "" if nothing is.

    Classes are known when they are Keras' own or registered in this process (by this package or by a plugin).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(read_member(archive, CONFIG))
    except (OSError, EOFError, KeyError, ValueError, RecursionError, RuntimeError, zipfile.BadZipFile):
        return ""
    return next(_foreign(config), "")


def _foreign(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        name, module = node.get("class_name"), node.get("module")
        if name == "__lambda__":
            yield "a Lambda layer with Python code"
        elif isinstance(name, str) and isinstance(module, str) and not _is_known(node, name, module):
            yield f"{module}.{name}"
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _foreign(item)


def _is_known(node: dict, name: str, module: str) -> bool:
    registered = node.get("registered_name")
    return (
        module == "builtins"
        or module.split(".")[0] == "keras"
        or keras.saving.get_registered_object(registered or name) is not None
    )
