"""Places to publish to: this machine's file system, and an object store in memory."""

import itertools
from pathlib import Path

from upath import UPath

NUMBERS = itertools.count()
KINDS = ("path", "local", "memory")


def store(kind: str, tmp_path: Path) -> Path | UPath:
    """An empty place of one of `KINDS`."""
    if kind == "memory":
        return UPath(f"memory://store{next(NUMBERS)}")
    return tmp_path / "store" if kind == "path" else UPath(tmp_path / "store")
