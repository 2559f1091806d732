"""Runs whose process is gone.

A killed process cannot say that it ended: its run stays "started" and keeps its place in pool `gpu`, so that
the next training would wait for ever.
"""

import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from dp_assets.orchestration.live_runs import Held, forget_finished, is_on_one_machine, mark_of

PROGRAMS = (b"dagster", b"dp-assets", b"dp_assets", b"python")
# Statuses of runs that a process executes, or did until it was killed.
ACTIVE = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]


class Process(Enum):
    """What has become of the process of a run."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class RunProcess:
    """The process of a run: what has become of it, and how that is known."""

    state: Process
    reason: str


def run_process(instance: DagsterInstance, run: DagsterRun) -> RunProcess:
    """What has become of the process that executes a run.

    The run's mark tells (see `live_runs`). A run without one, such as one of an earlier version or one that
    has only just begun, is judged by the last process number of its events; in doubt it is alive.
    """
    mark = mark_of(instance, run.run_id)
    if mark.held is Held.YES:
        return RunProcess(Process.ALIVE, f"{mark.process} is at work")
    if mark.held is Held.NO_LONGER:
        return RunProcess(Process.GONE, f"{mark.process} is gone (killed, or the machine went down)")
    pid = _last_process_number(instance, run)
    if pid is None:
        return RunProcess(Process.UNKNOWN, "no process has begun to execute it")
    if _may_be_alive(pid):
        return RunProcess(Process.ALIVE, f"process {pid} is there")
    return RunProcess(Process.GONE, f"process {pid} is gone (killed, or the machine went down)")


def lost_runs(instance: DagsterInstance) -> list[DagsterRun]:
    """The runs said to be going on whose process is gone.

    Process numbers and marks mean something on one machine only, and so does an SQLite instance; runs of any
    other instance are left to Dagster's own monitoring.
    """
    if not is_on_one_machine(instance):
        return []
    active = instance.get_runs(filters=RunsFilter(statuses=ACTIVE))
    return [run for run in active if run_process(instance, run).state is Process.GONE]


def release_lost_runs(instance: DagsterInstance) -> list[str]:
    """Mark lost runs as failed (or canceled, if that was asked for), and free places in pools nobody uses.

    Returns
    -------
    The lost runs' ids.
    """
    lost = lost_runs(instance)
    for run in lost:
        reason = run_process(instance, run).reason
        # It may have come to its end just now.
        now = instance.get_run_by_id(run.run_id)
        if now is None or now.is_finished:
            continue
        if now.status is DagsterRunStatus.CANCELING:
            instance.report_run_canceled(now, reason)
        else:
            instance.report_run_failed(now, reason)
    if is_on_one_machine(instance):
        free_places_of_finished_runs(instance)
        forget_finished(instance)
    return [run.run_id for run in lost]


def free_places_of_finished_runs(instance: DagsterInstance) -> None:
    """Give back what killed runs hold in pools.

    Dagster's monitoring does so too, but by the clock, and only while its daemon is running.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    for run_id in storage.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is None or (run.is_finished and mark_of(instance, run_id).held is not Held.YES):
            storage.free_concurrency_slots_for_run(run_id)


def _last_process_number(instance: DagsterInstance, run: DagsterRun) -> int | None:
    """The process that executes the run's steps, as its last engine event names it."""
    pid = None
    for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        named = event.engine_event_data.metadata.get("pid") if event is not None else None
        if named is not None:
            pid = int(str(named.value))
    return pid


def _may_be_alive(pid: int) -> bool:
    """Whether the process is there; where the system tells, also whether it can be one of ours."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    folder = Path(f"/proc/{pid}")
    try:
        # The state follows the program's name, which stands in brackets and may hold brackets itself.
        state = re.search(rb".*\) (\w)", (folder / "stat").read_bytes(), re.DOTALL)
        if state is not None and state[1] in (b"Z", b"X"):
            return False
        return any(name in (folder / "cmdline").read_bytes() for name in PROGRAMS)
    except FileNotFoundError:
        # Either the process ended just now, or this system has no such folder.
        return not Path("/proc/self/stat").exists()
    except OSError:
        return True
