"""Publishing a file so that no reader ever sees it half written."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeGuard

from upath import UPath

TEMPORARY_MARK = ".tmp"


def is_local(path: Path | UPath) -> TypeGuard[Path]:
    """Whether `path` lies on this machine's file system (where a rename is atomic)."""
    return isinstance(path, Path) and getattr(path, "protocol", "") in ("", "file", "local")


def temporary_sibling(path: Path | UPath) -> Path | UPath:
    """A hidden name beside `path`, unique to this call, that no reader looks at."""
    return path.parent / f".{path.name}.{uuid.uuid4().hex}{TEMPORARY_MARK}"


@contextmanager
def atomic_file(path: Path | UPath) -> Iterator[IO[bytes]]:
    """Open `path` for writing; it appears complete when the block ends, and not at all if the block raises.

    The bytes go to a hidden sibling first. Locally that is flushed to disk and renamed; object stores move it
    under its name once it is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_sibling(path)
    try:
        with temporary.open("wb") as stream:
            yield stream
            if is_local(path):
                stream.flush()
                os.fsync(stream.fileno())
        if is_local(path):
            os.replace(str(temporary), path)
        else:
            path.fs.mv(temporary.path, path.path)  # type: ignore[union-attr]
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path | UPath, data: bytes) -> None:
    """Write `data` to `path`, visible only when complete."""
    with atomic_file(path) as stream:
        stream.write(data)
