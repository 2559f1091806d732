"""Publishing a file so that no reader ever sees it half written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeGuard

from upath import UPath

from dp_assets.storage.access_errors import access_errors
from dp_assets.storage.held_names import held_sibling, remove_abandoned, temporary_sibling

WHOLE_OBJECTS = {"s3", "s3a", "gs", "gcs"}
"""Protocols of stores where an object appears when its upload is completed, and not before."""


def is_local(path: Path | UPath) -> TypeGuard[Path]:
    """Whether `path` lies on this machine's file system (where a rename is atomic)."""
    return isinstance(path, Path) and getattr(path, "protocol", "") in ("", "file", "local")


@contextmanager
def atomic_file(path: Path | UPath, *, tidy: bool = True) -> Iterator[IO[bytes]]:
    """Open `path` for writing; it appears complete when the block ends, and not at all if the block raises.

    Locally the bytes go to a hidden sibling that is flushed to disk and renamed. On object stores they go
    straight to the object, which appears when its upload is completed; an upload that is not is given up.
    Other file systems move a hidden sibling.

    Parameters
    ----------
    tidy : remove what killed writers of this file left beside it (locally; lists the folder).

    Raises
    ------
    StoreAccessError : the object store refuses, or does not answer; what was there stays.
    """
    if is_local(path):
        if tidy:
            remove_abandoned(path)
        yield from _renamed(path)
    elif (remote := UPath(path)).protocol in WHOLE_OBJECTS:
        yield from _uploaded(remote)
    else:
        yield from _moved(remote)


def _renamed(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with held_sibling(path, Path.touch) as temporary:
        try:
            with temporary.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(str(temporary), path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _uploaded(path: UPath) -> Iterator[IO[bytes]]:
    """Small objects are one request, sent at the end; of large ones the parts are sent as they come."""
    stream = path.fs.open(path.path, "wb")
    try:
        yield stream
    except BaseException:
        _give_up(stream)
        raise
    try:
        with access_errors(str(path)):
            stream.close()
    except BaseException:
        _give_up(stream)
        raise


def _give_up(stream: IO[bytes]) -> None:
    """Drop the parts that were sent, and keep the file object from completing the upload when it is freed."""
    try:
        stream.discard()  # type: ignore[attr-defined]
    finally:
        stream.closed = True  # type: ignore[misc]


def _moved(path: UPath) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = UPath(temporary_sibling(path))
    try:
        with temporary.open("wb") as stream:
            yield stream
        path.fs.mv(temporary.path, path.path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path | UPath, data: bytes, *, tidy: bool = True) -> None:
    """Write `data` to `path`, visible only when complete; `tidy` as for `atomic_file`."""
    with atomic_file(path, tidy=tidy) as stream:
        stream.write(data)
