"""Runs whose process is gone.

A killed process cannot say that it ended: its run stays "started" and keeps its place in pool `gpu`, so that
the next training would wait for ever.
"""

import os
from pathlib import Path

from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.runs import SqliteRunStorage

PROGRAMS = (b"dagster", b"dp-assets", b"dp_assets", b"python")


def lost_runs(instance: DagsterInstance) -> list[DagsterRun]:
    """The runs said to be going on whose process is not there.

    Process numbers mean something on one machine only, and so does an SQLite instance; runs of any other
    instance are left to Dagster's own monitoring.
    """
    if not isinstance(instance.run_storage, SqliteRunStorage):
        return []
    started = instance.get_runs(filters=RunsFilter(statuses=[DagsterRunStatus.STARTED]))
    return [run for run in started if (pid := _process(instance, run)) is not None and not _is_alive(pid)]


def release_lost_runs(instance: DagsterInstance) -> list[str]:
    """Mark lost runs as failed and free their places in pools; returns their ids."""
    lost = lost_runs(instance)
    for run in lost:
        instance.report_run_failed(run, "the process of this run is gone (killed, or the machine went down)")
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in lost]


def _process(instance: DagsterInstance, run: DagsterRun) -> int | None:
    """The process that executes the run's steps, as its last engine event names it."""
    pid = None
    for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        named = event.engine_event_data.metadata.get("pid") if event is not None else None
        if named is not None:
            pid = int(str(named.value))
    return pid


def _is_alive(pid: int) -> bool:
    """Whether the process is there; where the system tells, also whether it can be one of ours."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    command = Path(f"/proc/{pid}/cmdline")
    try:
        return not command.exists() or any(name in command.read_bytes() for name in PROGRAMS)
    except OSError:
        return True
