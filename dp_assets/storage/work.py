"""Work folders: finished units are kept there until the plate is published, so that a killed run resumes.

A unit is what a stage makes of one site. Its name is the fingerprint of everything it was made from (images,
locations, settings, code version). It is one or more files and a record, written last, which holds the length
and the digest of each file and its own seal. The records are the journal: a unit is finished when its record
is there, is whole, and every file is what the record says. Whatever else lies there (cut off, overwritten,
lost by the disk in a power failure, written by another version) is not believed; the unit is made again.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout

from dp_assets.config.errors import AtWorkError, StoreError
from dp_assets.storage.atomic import write_bytes
from dp_assets.storage.file_locks import SystemLock
from dp_assets.storage.fingerprints import fingerprint, fingerprint_bytes
from dp_assets.storage.held_names import TEMPORARY_MARK, temporary_sibling
from dp_assets.storage.read_ahead import read_ahead

LOCK_TIMEOUT_SECONDS = 2.0
FORMAT = 1
RECORD = ".unit"


class WorkFolder:
    """The deterministic work folder of one asset and plate.

    Parameters
    ----------
    path : local folder; made on first use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def locked(self, *, waiting: bool = True) -> Iterator["WorkFolder"]:
        """Hold the folder for this process.

        Parameters
        ----------
        waiting : for another holder, for a moment.

        Raises
        ------
        AtWorkError : another run works on the same plate.
        NoFileLocksError : the file system has no locks.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # It may be given back by another thread: results are published after the work is done.
        lock = SystemLock(self.path.parent / f".{self.path.name}.lock", for_any_thread=True)
        try:
            lock.acquire(timeout=LOCK_TIMEOUT_SECONDS if waiting else 0)
        except Timeout as error:
            raise AtWorkError(
                "another run is working on this asset and plate",
                where=str(self.path),
                remedy="wait for it to end (its finished sites are kept), then start this one again",
            ) from error
        try:
            for folder in (self.path, self._parts):
                _remove_unless_folder(folder)
                folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            yield self
        finally:
            lock.release()

    @property
    def _parts(self) -> Path:
        return self.path / "parts"

    def file(self, unit: str, ending: str) -> Path:
        """Where a file of a unit lies or will lie."""
        return self._parts / f"{unit}{ending}"

    def keep(self, unit: str, files: Mapping[str, bytes], facts: Any = None, *, forced: bool = True) -> str:
        """Store a finished unit; it is there completely or not at all.

        Parameters
        ----------
        unit : fingerprint of what it was made from.
        files : ending -> content.
        facts : JSON-able, kept with it.
        forced : whether the files are forced to disk: needed where they are published as they are. What is
            copied into another file at the end need not be; a power failure costs some units then, whose
            digests tell.

        Returns
        -------
        The unit's seal: a digest of its name, its files and its facts.
        """
        for ending, data in files.items():
            path = self.file(unit, ending)
            _remove_unless_file(path)
            if forced:
                write_bytes(path, data, tidy=False)
            else:
                _put(path, data)
        return self._write_record(_record(unit, _digests(files), facts))

    def adopt(self, unit: str, seal: str, files: Mapping[str, bytes | Path], facts: Any = None) -> bool:
        """Take a unit over from a published result, if it is what its seal says; whether it was.

        Parameters
        ----------
        files : ending -> content; a local file is linked where the file system allows it.
        """
        contents = {
            name: data if isinstance(data, bytes) else data.read_bytes() for name, data in files.items()
        }
        record = _record(unit, _digests(contents), facts)
        if _seal(record) != seal:
            return False
        for ending, data in files.items():
            path = self.file(unit, ending)
            _remove_unless_file(path)
            if isinstance(data, bytes):
                write_bytes(path, data, tidy=False)
            else:
                link_or_copy(data, path)
        self._write_record(record)
        return True

    def finished(self, unit: str) -> bool:
        """Whether a unit is there and whole; what is left of a damaged one is removed."""
        if not os.path.lexists(self.file(unit, RECORD)):
            return False
        record = self._read_record(unit)
        if record is not None and all(
            _is_whole(self.file(unit, ending), length, digest)
            for ending, (length, digest) in record["files"].items()
        ):
            return True
        self.drop(unit)
        return False

    def finished_among(self, units: Iterable[str], workers: int = 1) -> set[str]:
        """Those of the units that are there and whole; their files are read by threads."""
        return {unit for unit, whole in read_ahead(units, self.finished, workers=workers) if whole}

    def content(self, unit: str, ending: str) -> bytes:
        """A file of a finished unit. Raises StoreError when it is not what the record says."""
        length, digest = self._known(unit)["files"][ending]
        path = self.file(unit, ending)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise _damaged(path) from error
        if len(data) != length or fingerprint_bytes(data) != digest:
            raise _damaged(path)
        return data

    def facts(self, unit: str) -> Any:
        """The facts of a finished unit. Raises StoreError when it is damaged or not there."""
        return self._known(unit)["facts"]

    def seal(self, unit: str) -> str:
        """The seal of a finished unit. Raises StoreError when it is damaged or not there."""
        return _seal(self._known(unit))

    def units(self, start: str) -> list[str]:
        """Units whose names begin so and that have a record, whole or not; in order of names."""
        return sorted(path.name.removesuffix(RECORD) for path in self._parts.glob(f"{start}*{RECORD}"))

    def drop(self, unit: str) -> None:
        """Remove a unit."""
        # The record first: files without a record are nothing, a record without its files would be damage.
        remove(self.file(unit, RECORD))
        for path in self._parts.glob(f"{unit}*"):
            remove(path)

    def clear(self) -> None:
        """Remove everything in the folder (after publication). The lock file beside it stays."""
        if self.path.exists():
            shutil.rmtree(self.path)

    def _write_record(self, record: dict[str, Any]) -> str:
        """Not forced to disk: a record that a power failure takes, or leaves alone, costs one unit."""
        path, seal = self.file(record["unit"], RECORD), _seal(record)
        _remove_unless_file(path)
        _put(path, json.dumps({"seal": seal, "record": record}).encode())
        return seal

    def _read_record(self, unit: str) -> dict[str, Any] | None:
        """The record of a unit; None when it is damaged, or another unit's."""
        try:
            stored = json.loads(self.file(unit, RECORD).read_bytes())
            record = stored["record"]
            is_whole = _seal(record) == stored["seal"]
            return record if is_whole and (record["format"], record["unit"]) == (FORMAT, unit) else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def _known(self, unit: str) -> dict[str, Any]:
        record = self._read_record(unit)
        if record is None:
            raise _damaged(self.file(unit, RECORD))
        return record

    def _sweep(self) -> None:
        """Remove what a killed run left half written."""
        for path in self._parts.glob(f".*{TEMPORARY_MARK}"):
            remove(path)


def _damaged(path: Path) -> StoreError:
    return StoreError(
        "finished work was damaged or removed while the run was using it",
        where=str(path),
        remedy="start the run again; it makes again what is missing",
    )


def _put(path: Path, data: bytes) -> None:
    """Write a file that is there as a whole or not at all, not forced to disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_sibling(path).name)
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # What a write refuses (a full disk) comes without a name.
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)
        raise


def link_or_copy(source: Path, target: Path) -> None:
    """Give a finished file another name, without copying where the file system allows it."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _record(unit: str, digests: Mapping[str, tuple[int, str]], facts: Any) -> dict[str, Any]:
    return {"format": FORMAT, "unit": unit, "files": {k: list(v) for k, v in digests.items()}, "facts": facts}


def _seal(record: Any) -> str:
    return fingerprint("unit", record)


def _digests(files: Mapping[str, bytes]) -> dict[str, tuple[int, str]]:
    return {ending: (len(data), fingerprint_bytes(data)) for ending, data in files.items()}


def _is_whole(path: Path, length: int, digest: str) -> bool:
    try:
        return path.stat().st_size == length and fingerprint_bytes(path.read_bytes()) == digest
    except OSError:
        return False


def remove(path: Path) -> None:
    """Remove whatever lies there: a file, a folder, a link, or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_unless_file(path: Path) -> None:
    if path.is_dir():
        remove(path)


def _remove_unless_folder(path: Path) -> None:
    if os.path.lexists(path) and not path.is_dir():
        path.unlink()
