"""Opening a Dagster instance: locked records are waited for a while, and trouble becomes a message."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from dagster import DagsterInstance, DagsterInvalidConfigError
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from dp_assets.config.errors import ConfigurationError, Problem, StoreError
from dp_assets.orchestration.project_setup import INSTANCE_FILE
from dp_assets.storage.file_locks import SystemLock

# Dagster waits for 30 s for locked records of events, and for 5 s for those of runs.
PATIENCE_SECONDS = 60.0
FIRST_USE_LOCK = ".first_use.lock"
# The SQLite files of an instance; the events of single runs lie beside `runs/index.db`.
RECORDS = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


def wait_for_locked_records() -> None:
    """Let every SQLite connection of this process wait for a minute while another program holds the file."""
    if not event.contains(Engine, "connect", _wait_for_lock):
        event.listen(Engine, "connect", _wait_for_lock)


def _wait_for_lock(connection: Any, _record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE_SECONDS * 1000)}")


@contextmanager
def opened_instance(home: Path) -> Iterator[DagsterInstance]:
    """The instance of a folder.

    Raises
    ------
    ConfigurationError : `dagster.yaml` is wrong.
    StoreError : its records cannot be read or written, at any moment of the block.
    """
    wait_for_locked_records()
    try:
        with _configured_instance(home) as instance:
            yield instance
    except DBAPIError as error:
        raise StoreError([records_problem(home, str(error.orig))]) from error


def _configured_instance(home: Path) -> DagsterInstance:
    try:
        if all((home / name).exists() for name in RECORDS):
            return DagsterInstance.from_config(str(home))
        # The first one makes the records; two that make them at once would fail.
        with SystemLock(home / FIRST_USE_LOCK):
            return DagsterInstance.from_config(str(home))
    except (yaml.YAMLError, DagsterInvalidConfigError) as error:
        raise ConfigurationError(
            f"the instance cannot be opened: {error}",
            where=str((home / INSTANCE_FILE).resolve()),
            remedy="mend the file, or move it away and run `dp-assets setup`",
        ) from error


@contextmanager
def shadow_of_records(home: Path) -> Iterator[Path]:
    """A folder to open an instance in without writing to its own: Dagster makes records that are missing.

    Yields
    ------
    The instance's folder, if it has all its records; else a temporary one with links to what there is.
    """
    if all((home / name).exists() for name in RECORDS):
        yield home
        return
    with TemporaryDirectory() as place:
        shadow = Path(place)
        _link_all(home, shadow, deep={str(parent) for name in RECORDS for parent in Path(name).parents})
        yield shadow


def _link_all(folder: Path, shadow: Path, deep: set[str], inside: Path = Path()) -> None:
    """Link what a folder holds; of the folders named in `deep`, make folders and link what they hold."""
    for entry in folder.iterdir():
        place = inside / entry.name
        if str(place) in deep and entry.is_dir():
            (shadow / place).mkdir()
            _link_all(entry, shadow, deep, place)
        elif entry.name != FIRST_USE_LOCK:
            (shadow / place).symlink_to(entry)


def records_problem(home: Path, message: str) -> Problem:
    """What it means that the database says `message`, and what to do about it."""
    if "locked" in message:
        return Problem(
            f"the records of runs are in use by another program, for more than {PATIENCE_SECONDS:.0f} s",
            str(home),
            "end that program (a database viewer, a backup, a run that hangs) and start again: "
            "what is finished is kept",
        )
    damaged = damaged_records(home)
    if damaged:
        return damaged[0]
    return Problem(
        f"the records of runs cannot be used: {message}",
        str(home),
        "check the permissions of the folder and the free space of its disk, then start again: "
        "what is finished is kept",
    )


def damaged_records(home: Path) -> list[Problem]:
    """The files of records that are no sound databases."""
    found = []
    for name in RECORDS:
        file = home / name
        if file.exists() and (fault := _fault(file)) is not None:
            found.append(
                Problem(
                    f"the records of runs are damaged: {fault}",
                    str(file),
                    "stop Dagster, move the file away (with those of its name in -wal and -shm), and run "
                    "`dp-assets run index`: only the records of past runs are lost, results are kept",
                )
            )
    return found


def _fault(file: Path) -> str | None:
    try:
        with closing(sqlite3.connect(file.resolve().as_uri() + "?mode=ro", uri=True)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        # In use, or not readable: that is another problem.
        return None
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if answer == "ok" else answer
