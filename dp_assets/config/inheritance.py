"""``extends``: an experiment that takes over another file and says only what is different."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.reading import Document, read_document
from dp_assets.config.spellings import without_other_spellings

KEY = "extends"


def read_with_parents(path: Path) -> Document:
    """Read a configuration file and the files it extends.

    Sections are put together key by key; anything else (lists too) replaces what the extended file says, and
    null takes a key away.

    Parameters
    ----------
    path : the file; ``extends`` in it is a path relative to its folder.

    Raises
    ------
    ConfigurationError
        As for read_document; or a file extends itself, directly or through others.
    """
    return _read(path, (path.resolve(),))


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it: sections key by key, null removes, the rest replaces."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def _read(path: Path, chain: tuple[Path, ...]) -> Document:
    document = read_document(path)
    parent = document.data.get(KEY)
    if parent is None:
        return document
    if not isinstance(parent, str) or not parent.strip():
        raise ConfigurationError(
            f"{KEY} is {parent!r}; expected the path of another configuration file",
            where=f"{path}: {KEY}",
            remedy=f'Write the path relative to this file, for example "{KEY}": "base.json".',
        )
    target = (path.parent / parent).resolve()
    if target in chain:
        names = " -> ".join(link.name for link in (*chain, target))
        raise ConfigurationError(
            f"the file extends itself: {names}", where=f"{path}: {KEY}", remedy="Break the circle."
        )
    if not target.is_file():
        raise ConfigurationError(
            f"there is no file {parent!r} to extend",
            where=f"{path}: {KEY}",
            remedy=f"Write the path relative to {path.parent}.",
        )
    base = _read(target, (*chain, target))
    own = {key: value for key, value in document.data.items() if key != KEY}
    data = merged(without_other_spellings(base.data, own), own)
    return replace(document, data=data, warnings=(*base.warnings, *document.warnings))
