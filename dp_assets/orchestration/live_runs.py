"""A mark on a run that lasts exactly as long as the process that executes it.

The mark is a locked file in the instance's folder. The system takes the lock back the moment the process
ends, however it ends. So the mark needs no clock and no process number: no clock that is set back, no number
given to another process, and no other container on this machine can make a dead run look alive, or a live one
dead.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from dagster import DagsterInstance
from dagster._core.storage.runs import SqliteRunStorage
from filelock import Timeout

from dp_assets.storage.atomic import write_bytes
from dp_assets.storage.file_locks import SystemLock

FOLDER = "live_runs"
# A moment's look by another process is all that can be in the way of the run's own lock.
LOCK_TIMEOUT_SECONDS = 10.0

_held: dict[str, SystemLock] = {}


class Held(Enum):
    """Whether a process holds the mark of a run."""

    YES = "a process executes it"
    NO_LONGER = "the process that executed it has ended"
    NEVER = "no process has marked it"


@dataclass(frozen=True)
class Mark:
    """What the mark of a run says at a moment, and the process that made it, in words."""

    held: Held
    process: str = "no process"


def is_on_one_machine(instance: DagsterInstance) -> bool:
    """Whether all runs of the instance are on this machine: its records are SQLite files (which must be)."""
    return not instance.is_ephemeral and isinstance(instance.run_storage, SqliteRunStorage)


def mark_as_live(instance: DagsterInstance, run_id: str) -> None:
    """Mark a run as executed by this process, until the process ends.

    It stays marked after its last step, since the record of its end is still to be written. Marks of runs
    that are over are removed. An instance on several machines has no marks.
    """
    if not is_on_one_machine(instance) or run_id in _held:
        return
    forget_finished(instance)
    folder = _folder(instance)
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder, run_id)
    lock.acquire(timeout=LOCK_TIMEOUT_SECONDS)
    _held[run_id] = lock
    # Written once the lock is held: who finds it, and the lock free, knows that the process has ended.
    record = {"pid": os.getpid(), "host": socket.gethostname()}
    write_bytes(_record(folder, run_id), json.dumps(record).encode())


@contextmanager
def live(instance: DagsterInstance, run_id: str) -> Iterator[None]:
    """Mark a run as executed by this process while the block lasts."""
    mark_as_live(instance, run_id)
    try:
        yield
    finally:
        _forget(instance, run_id)


def mark_of(instance: DagsterInstance, run_id: str) -> Mark:
    """What the mark of a run says at this moment."""
    folder = _folder(instance)
    try:
        record = json.loads(_record(folder, run_id).read_bytes())
    except FileNotFoundError:
        return Mark(Held.NEVER)
    process = f"process {record['pid']} on {record['host']}"
    lock = _lock(folder, run_id)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return Mark(Held.YES, process)
    lock.release()
    return Mark(Held.NO_LONGER, process)


def forget_finished(instance: DagsterInstance) -> None:
    """Remove the marks of runs that are over or deleted; what a process still holds is its own.

    A run is marked before it is recorded, and its process may outlive the record of its end.
    """
    for run_id in {file.stem for file in _folder(instance).glob("*.*")}:
        run = instance.get_run_by_id(run_id)
        is_over = run is None or run.is_finished
        if is_over and (run_id in _held or mark_of(instance, run_id).held is not Held.YES):
            _forget(instance, run_id)


def _forget(instance: DagsterInstance, run_id: str) -> None:
    folder = _folder(instance)
    _record(folder, run_id).unlink(missing_ok=True)
    if lock := _held.pop(run_id, None):
        lock.release()
    (folder / f"{run_id}.lock").unlink(missing_ok=True)


def _folder(instance: DagsterInstance) -> Path:
    return Path(instance.root_directory) / FOLDER


def _record(folder: Path, run_id: str) -> Path:
    return folder / f"{run_id}.json"


def _lock(folder: Path, run_id: str) -> SystemLock:
    # Any thread may be the one that lets go.
    return SystemLock(folder / f"{run_id}.lock", for_any_thread=True)
