"""Copies of what was read from an object store, up to a limit; the least recently used go first.

An entry is one file, named by a digest of what it is a copy of (the object and its version) and its size. It
appears by rename when it is complete, so that a download that was cut off is never taken for the object; a
file whose size is not the one in its name is damaged and fetched again. Several processes share a folder.
"""

import errno
import logging
import os
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from upath import UPath

from dp_assets.config.errors import NoFileLocksError
from dp_assets.storage.access_errors import access_errors
from dp_assets.storage.file_locks import SystemLock
from dp_assets.storage.fingerprints import fingerprint_bytes
from dp_assets.storage.versions import is_of_a_version

logger = logging.getLogger(__name__)

DOWNLOADS = "downloads"
LOCKS = "locks"
KEPT_SHARE = 0.9
"""Of a full cache this share is kept, so that not every new entry has to look for the oldest one."""

RECOUNT_SHARE = 0.05
"""After this share of the limit was added here, what other processes added is counted."""

ABANDONED_SECONDS = 24 * 3600
TRIES = 3
# What this machine's disk refuses; an object store's own refusals are StoreAccessErrors.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR}


class _ReplacedMeanwhileError(Exception):
    """The object is another one than when its download began."""


@dataclass
class ReadCache:
    """The cache of one project.

    Attributes
    ----------
    folder : where the copies lie.
    limit : how many bytes they may take. Processes that fill it at the same time may exceed it together by
        `RECOUNT_SHARE` each, until the next of them counts.
    """

    folder: Path
    limit: int
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _total: int | None = field(default=None, repr=False, compare=False)
    _added: int = field(default=0, repr=False, compare=False)
    _given_up: bool = field(default=False, repr=False, compare=False)

    def open(self, path: UPath) -> IO[bytes] | None:
        """The object at `path`, from its copy on this machine, which is made if there is none.

        Returns
        -------
        A local file; it can be read to its end even when its entry is removed meanwhile. None when the object
        is larger than the cache, or the disk of the cache refuses or has no locks.

        Raises
        ------
        FileNotFoundError : there is no such object.
        StoreAccessError : the store refuses, or does not answer.
        """
        if self._given_up:
            return None
        try:
            for _ in range(TRIES):
                with suppress(_ReplacedMeanwhileError):
                    return self._opened(path)
        except OSError as error:
            if error.errno not in _DISK:
                raise
            self._give_up(error.strerror or str(error))
        except NoFileLocksError as error:
            self._give_up(error.problems[0].what)
        return None

    def forget(self, path: UPath) -> bool:
        """Remove the copy of an object; whether there was one."""
        version = path.path if is_of_a_version(path) else _version(path)[0]
        digest = fingerprint_bytes(f"{path.protocol}://{version}".encode())
        entries = list((self.folder / digest[:2]).glob(f"{digest}-*"))
        for entry in entries:
            entry.unlink(missing_ok=True)
        return bool(entries)

    def _opened(self, path: UPath) -> IO[bytes] | None:
        version, size = (path.path, None) if is_of_a_version(path) else _version(path)
        digest = fingerprint_bytes(f"{path.protocol}://{version}".encode())
        stream = self._open_entry(digest)
        if stream is not None:
            return stream
        with self._downloading(digest):
            # another thread or process may have fetched it by now
            stream = self._open_entry(digest)
            if stream is not None:
                return stream
            size = size if size is not None else _version(path)[1]
            if size > self.limit:
                return None
            self._make_room(size)
            return self._download(path, digest, version, size)

    def _open_entry(self, digest: str) -> IO[bytes] | None:
        """The complete copy, marked as just used; None when there is none, or a damaged one."""
        folder = self.folder / digest[:2]
        for entry in folder.glob(f"{digest}-*"):
            with suppress(FileNotFoundError):
                stream = entry.open("rb")
                if os.fstat(stream.fileno()).st_size == int(entry.name.partition("-")[2]):
                    os.utime(entry)
                    return stream
                stream.close()
                logger.warning("%s is damaged; it is fetched again", entry)
                entry.unlink(missing_ok=True)
        return None

    def _downloading(self, digest: str) -> SystemLock:
        """Held while an object is fetched, so that nobody fetches it twice at the same time."""
        locks = self.folder / LOCKS
        locks.mkdir(parents=True, exist_ok=True)
        return SystemLock(locks / digest[:2], for_any_thread=True)

    def _download(self, path: UPath, digest: str, version: str, size: int) -> IO[bytes]:
        downloads = self.folder / DOWNLOADS
        downloads.mkdir(parents=True, exist_ok=True)
        # Made before the store is asked: what the disk refuses must not look like the store's refusal.
        partial = downloads / uuid.uuid4().hex
        try:
            partial.touch()
            with access_errors(str(path)):
                path.fs.get_file(path.path, str(partial))
            if partial.stat().st_size != size or (
                not is_of_a_version(path) and _version(path) != (version, size)
            ):
                raise _ReplacedMeanwhileError
            stream = partial.open("rb")
            os.fsync(stream.fileno())
            entry = self.folder / digest[:2] / f"{digest}-{size}"
            entry.parent.mkdir(exist_ok=True)
            os.replace(partial, entry)
        finally:
            partial.unlink(missing_ok=True)
        with self._lock:
            self._total = (self._total or 0) + size
            self._added += size
        return stream

    def _make_room(self, size: int) -> None:
        """Remove the least recently used entries until `size` more bytes fit."""
        with self._lock:
            recount = self._total is None or self._added > RECOUNT_SHARE * self.limit
            if not recount and (self._total or 0) + size <= self.limit:
                return
            entries = self._entries()
            self._added = 0
            self._total = sum(bytes_ for _, bytes_, _ in entries)
            if self._total + size <= self.limit:
                return
            for _, bytes_, entry in sorted(entries):
                if self._total + size <= KEPT_SHARE * self.limit or self._total <= 0:
                    break
                with suppress(FileNotFoundError):
                    entry.unlink()
                self._total -= bytes_

    def _entries(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, file) of every entry; downloads that somebody abandoned are removed."""
        found = []
        for file in self.folder.glob("*/*"):
            if file.parent.name == LOCKS:
                continue
            with suppress(FileNotFoundError):
                facts = file.stat()
                if file.parent.name != DOWNLOADS:
                    found.append((facts.st_mtime, facts.st_size, file))
                elif time.time() - facts.st_mtime > ABANDONED_SECONDS:
                    file.unlink()
        return found

    def _give_up(self, why: str) -> None:
        with self._lock:
            if not self._given_up:
                logger.warning(
                    "the read cache %s cannot be used (%s); what is read comes from the store each time",
                    self.folder,
                    why,
                )
            self._given_up = True


def _version(path: UPath) -> tuple[str, int]:
    """What tells one content of an object from another, and its size."""
    with access_errors(str(path)):
        facts = path.fs.info(path.path)
    if facts["type"] == "directory":
        raise FileNotFoundError(str(path))
    marks = [facts.get(name) for name in ("ETag", "etag", "generation", "mtime", "created", "modified")]
    mark = next((str(mark) for mark in marks if mark), "")
    return f"{path.path}\n{mark}", int(facts["size"])
