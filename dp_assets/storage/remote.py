"""Reading from a store, wherever it is: local files as they are, objects through the project's cache."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from upath import UPath

from dp_assets.config.errors import ContentChangedError
from dp_assets.storage.access_errors import access_errors
from dp_assets.storage.atomic import is_local
from dp_assets.storage.read_cache import ReadCache

Read = TypeVar("Read")

READ_BLOCK = 8 * 2**20
"""Bytes fetched at a time from an object that is not cached."""


@dataclass(frozen=True)
class LocalSide:
    """What this machine keeps for a place on an object store.

    Attributes
    ----------
    uploads : where folders are filled before they are uploaded.
    cache : copies of what was read; None for no cache.
    """

    uploads: Path
    cache: ReadCache | None


# URL of a place -> its local side. Paths carry no settings, and are made and joined everywhere; so a place is
# made known once per process, by the project's layout.
_KNOWN: dict[str, LocalSide] = {}


def make_known(place: UPath, side: LocalSide) -> None:
    """Let everything read below `place` go through this cache; what is known already stays as it is."""
    if _KNOWN.get(_url(place)) != side:
        _KNOWN[_url(place)] = side


def local_side(path: UPath) -> LocalSide | None:
    """The local side of the innermost known place that `path` lies in."""
    url = _url(path)
    inside = [place for place in _KNOWN if url == place or url.startswith(place + "/")]
    return _KNOWN[max(inside, key=len)] if inside else None


def _url(path: UPath) -> str:
    return f"{path.protocol}://{path.path.strip('/')}"


def open_stored(path: Path | UPath) -> IO[bytes]:
    """Open a file or an object for reading.

    An object is read from its copy in the cache, so that it stays the same while it is read. Without a cache
    its bytes are fetched as they are asked for.

    Raises
    ------
    FileNotFoundError : there is nothing.
    StoreAccessError : the store refuses, or does not answer (here, or later while the stream is read).
    """
    if is_local(path):
        return path.open("rb")
    remote = UPath(path)
    stream = cached(remote)
    if stream is not None:
        return stream
    with access_errors(str(remote)):
        if remote.protocol == "memory":
            # its files are shared by all who open them, with one position
            return io.BytesIO(remote.fs.cat_file(remote.path))
        return io.BufferedReader(_Watched(remote), READ_BLOCK)


def read_stored(path: Path | UPath) -> bytes:
    """The bytes of a small file or object, as it is now; raises as `open_stored`."""
    if is_local(path):
        return path.read_bytes()
    remote = UPath(path)
    with access_errors(str(remote)):
        return bytes(remote.fs.cat_file(remote.path))


def cached(path: UPath) -> IO[bytes] | None:
    """The object from its copy on this machine; None where there is no cache, or the object does not fit."""
    side = local_side(path)
    return None if side is None or side.cache is None else side.cache.open(path)


def forget_copy(path: Path | UPath) -> bool:
    """Remove this machine's copy of an object, so that it is fetched again; whether there was one."""
    if is_local(path):
        return False
    side = local_side(UPath(path))
    return side is not None and side.cache is not None and side.cache.forget(UPath(path))


def with_fresh_copies(files: Iterable[Path | UPath], read: Callable[[], Read]) -> Read:
    """What `read` makes of some files; once more where copies on this machine may be what differs.

    Raises
    ------
    ContentChangedError : as `read` raises it, when there are no copies, or the objects themselves differ.
    """
    try:
        return read()
    except ContentChangedError:
        copies = [file for file in dict.fromkeys(files) if forget_copy(file)]
        if not copies:
            raise
    return read()


class _Watched(io.RawIOBase):
    """An object that is read piece by piece; what the store refuses meanwhile is said as such."""

    def __init__(self, path: UPath) -> None:
        super().__init__()
        self._where = str(path)
        self._stream: Any = path.fs.open(path.path, "rb", block_size=READ_BLOCK)
        self._size: int = self._stream.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def readinto(self, buffer: Any) -> int:
        with access_errors(self._where):
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
