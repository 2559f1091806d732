"""Runs whose process was killed: found, marked as failed, and their place in the pool freed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.events import EngineEventData

from dp_assets.orchestration.doctor import examine
from dp_assets.orchestration.lost_runs import lost_runs, release_lost_runs
from dp_assets.orchestration.project_setup import set_up_project
from dp_assets_tests.orchestration.materializing import Workshop


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    """A project's instance as it is on one machine."""
    set_up_project(tmp_path / "project")
    with DagsterInstance.from_config(str(tmp_path / "project" / ".dagster")) as made:
        yield made


def started_run(instance: DagsterInstance, pid: int) -> str:
    """A run that a process began, with the pool's only place taken."""

    @dg.job
    def train() -> None: ...

    run = instance.create_run_for_job(train, status=DagsterRunStatus.STARTED)
    facts = EngineEventData(metadata={"pid": dg.MetadataValue.text(str(pid))})
    instance.report_engine_event("Executing steps in process", run, facts)
    instance.event_log_storage.set_concurrency_slots("gpu", 1)
    assert instance.event_log_storage.claim_concurrency_slot("gpu", run.run_id, "trained_model").is_claimed
    return run.run_id


def dead_process() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_run_of_a_dead_process_is_failed_and_its_place_freed(instance: DagsterInstance) -> None:
    run_id = started_run(instance, dead_process())
    assert [run.run_id for run in lost_runs(instance)] == [run_id]
    assert release_lost_runs(instance) == [run_id]
    assert [run.status for run in instance.get_runs()] == [DagsterRunStatus.FAILURE]
    assert instance.event_log_storage.claim_concurrency_slot("gpu", "other", "trained_model").is_claimed
    assert release_lost_runs(instance) == []


def test_a_run_that_goes_on_is_left_alone(instance: DagsterInstance) -> None:
    started_run(instance, os.getpid())
    assert release_lost_runs(instance) == []
    assert [run.status for run in instance.get_runs()] == [DagsterRunStatus.STARTED]
    assert not instance.event_log_storage.claim_concurrency_slot("gpu", "other", "trained_model").is_claimed


def test_a_process_number_taken_by_another_program(instance: DagsterInstance) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        run_id = started_run(instance, other.pid)
        released = release_lost_runs(instance)
    finally:
        other.kill()
        other.wait()
    assert released == ([run_id] if Path("/proc/self/cmdline").exists() else [])


def test_the_doctor_tells_of_lost_runs(tiny: Workshop) -> None:
    set_up_project(tiny.root)
    with DagsterInstance.from_config(str(tiny.root / ".dagster")) as instance:
        run_id = started_run(instance, dead_process())
    parts = {part.name: part for part in examine(tiny.root, read_images=False)}
    warning = parts["Dagster instance"].warnings[0]
    assert run_id in warning.what
    assert "dp-assets run" in warning.remedy
