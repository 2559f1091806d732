"""Runs whose process was killed: found, marked as failed, and their place in the pool freed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import WorkerStatus
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from dp_assets.orchestration import launcher as launcher_module
from dp_assets.orchestration.doctor import examine
from dp_assets.orchestration.launcher import CheckedLocalRunLauncher
from dp_assets.orchestration.live_runs import FOLDER, Held, forget_finished, live, mark_of
from dp_assets.orchestration.lost_runs import Process, lost_runs, release_lost_runs, run_process
from dp_assets.orchestration.project_setup import set_up_project
from dp_assets_tests.orchestration.materializing import Workshop

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system has no /proc")
Executing = Callable[..., subprocess.Popen]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    """A project's instance as it is on one machine."""
    set_up_project(tmp_path / "project")
    with DagsterInstance.from_config(str(tmp_path / "project" / ".dagster")) as made:
        yield made


@pytest.fixture
def executing(instance: DagsterInstance) -> Iterator[Executing]:
    """Start a process that marks a run as its own, and then waits to be killed."""
    started = []

    def start(run: DagsterRun, *before: str) -> subprocess.Popen:
        module = "dp_assets_tests.orchestration.live_process"
        command = [*before, sys.executable, "-m", module, instance.root_directory, run.run_id]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        assert process.stdout is not None
        if process.stdout.readline() != "marked\n":
            pytest.skip(f"cannot start {before}")
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def started_run(
    instance: DagsterInstance, *pids: int, status: DagsterRunStatus = DagsterRunStatus.STARTED
) -> DagsterRun:
    """A run that processes began, one after the other, with the pool's only place taken."""

    @dg.job
    def train() -> None: ...

    run = instance.create_run_for_job(train, status=status)
    for pid in pids:
        facts = EngineEventData(metadata={"pid": dg.MetadataValue.text(str(pid))})
        instance.report_engine_event("Executing steps in process", run, facts)
    instance.event_log_storage.set_concurrency_slots("gpu", 1)
    assert instance.event_log_storage.claim_concurrency_slot("gpu", run.run_id, "trained_model").is_claimed
    return run


def is_pool_free(instance: DagsterInstance) -> bool:
    """Whether the place in the pool can be had."""
    return instance.event_log_storage.claim_concurrency_slot("gpu", "other", "trained_model").is_claimed


def dead_process() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def statuses(instance: DagsterInstance) -> list[DagsterRunStatus]:
    """Of all runs, newest first."""
    return [run.status for run in instance.get_runs()]


def test_a_run_is_lost_from_the_moment_its_process_is_killed(
    instance: DagsterInstance, executing: Executing
) -> None:
    run = started_run(instance)
    process = executing(run)
    assert run_process(instance, run).state is Process.ALIVE
    assert release_lost_runs(instance) == []
    assert not is_pool_free(instance)
    process.kill()
    process.wait()
    assert release_lost_runs(instance) == [run.run_id]
    assert statuses(instance) == [DagsterRunStatus.FAILURE]
    assert is_pool_free(instance)
    assert not any((Path(instance.root_directory) / FOLDER).iterdir()), "marks of finished runs"


def test_a_stopped_process_is_alive_and_a_zombie_is_not(
    instance: DagsterInstance, executing: Executing
) -> None:
    run = started_run(instance)
    process = executing(run)
    process.send_signal(signal.SIGSTOP)
    assert lost_runs(instance) == []
    process.kill()
    deadline = time.monotonic() + 30
    # Nobody waits for the process: it stays a zombie.
    while not lost_runs(instance) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [found.run_id for found in lost_runs(instance)] == [run.run_id]


def test_a_number_given_to_another_process_makes_no_dead_run_alive(
    instance: DagsterInstance, executing: Executing
) -> None:
    # The number of this very process, which is one of Python, and alive.
    run = started_run(instance, os.getpid())
    process = executing(run)
    process.kill()
    process.wait()
    assert [found.run_id for found in lost_runs(instance)] == [run.run_id]


def test_a_process_in_another_container_is_alive(instance: DagsterInstance, executing: Executing) -> None:
    """There, its number is another one: here, no process or a foreign one has it."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("only root may make a namespace of processes")
    run = started_run(instance, dead_process())
    executing(run, "unshare", "--pid", "--fork", "--mount-proc")
    assert "process 1 on" in run_process(instance, run).reason
    assert lost_runs(instance) == []


def test_the_clock_does_not_count(
    instance: DagsterInstance, executing: Executing, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started_run(instance, os.getpid())
    process = executing(run)
    check = instance.run_launcher.check_run_worker_health
    true_time = time.time
    for seconds in (-(10**8), 10**8):
        for file in (Path(instance.root_directory) / FOLDER).iterdir():
            os.utime(file, (true_time() + seconds,) * 2)
        monkeypatch.setattr(time, "time", lambda: true_time() - seconds)  # noqa: B023
        assert check(run).status is WorkerStatus.RUNNING
    process.kill()
    process.wait()
    for seconds in (-(10**8), 10**8):
        monkeypatch.setattr(time, "time", lambda: true_time() - seconds)  # noqa: B023
        assert check(run).status is WorkerStatus.NOT_FOUND
    assert release_lost_runs(instance) == [run.run_id]


def test_what_another_process_holds_is_not_forgotten(instance: DagsterInstance, executing: Executing) -> None:
    """Not even when the run is not recorded yet, or already said to be over."""
    run = started_run(instance)
    executing(run)
    instance.delete_run(run.run_id)
    forget_finished(instance)
    assert mark_of(instance, run.run_id).held is Held.YES


def test_the_run_of_this_process_is_alive_while_it_lasts(instance: DagsterInstance) -> None:
    run = started_run(instance, dead_process())
    with live(instance, run.run_id):
        assert lost_runs(instance) == []
    assert [found.run_id for found in lost_runs(instance)] == [run.run_id]


# Runs without a mark: of an earlier version, or of another executor.


def test_a_run_of_a_dead_process_is_failed_and_its_place_freed(instance: DagsterInstance) -> None:
    run = started_run(instance, dead_process())
    assert [found.run_id for found in lost_runs(instance)] == [run.run_id]
    assert release_lost_runs(instance) == [run.run_id]
    assert statuses(instance) == [DagsterRunStatus.FAILURE]
    assert is_pool_free(instance)
    assert release_lost_runs(instance) == []


def test_a_run_that_goes_on_is_left_alone(instance: DagsterInstance) -> None:
    # The last process counts: the first was killed, and the run resumed.
    started_run(instance, dead_process(), os.getpid())
    assert release_lost_runs(instance) == []
    assert statuses(instance) == [DagsterRunStatus.STARTED]
    assert not is_pool_free(instance)


@needs_proc
def test_a_process_number_taken_by_another_program(instance: DagsterInstance) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        run = started_run(instance, other.pid)
        released = release_lost_runs(instance)
    finally:
        other.kill()
    # Killed, but not waited for.
    zombie = started_run(instance, other.pid)
    assert released == [run.run_id]
    assert release_lost_runs(instance) == [zombie.run_id]
    other.wait()


@pytest.mark.parametrize(
    ("status", "ends_as"),
    [
        (DagsterRunStatus.STARTING, DagsterRunStatus.FAILURE),
        (DagsterRunStatus.CANCELING, DagsterRunStatus.CANCELED),
    ],
)
def test_a_run_that_was_killed_while_it_started_or_was_canceled(
    instance: DagsterInstance, status: DagsterRunStatus, ends_as: DagsterRunStatus
) -> None:
    started_run(instance, dead_process(), status=status)
    release_lost_runs(instance)
    assert statuses(instance) == [ends_as]
    assert is_pool_free(instance)


def test_a_run_that_no_process_has_begun_yet(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given a while, by a clock that nobody can set."""
    run = started_run(instance)
    assert lost_runs(instance) == []
    now = time.monotonic()
    monkeypatch.setattr(launcher_module.time, "monotonic", lambda: now)
    check = instance.run_launcher.check_run_worker_health
    assert check(run).status is WorkerStatus.RUNNING
    now += launcher_module.PATIENCE_SECONDS - 1
    assert check(run).status is WorkerStatus.RUNNING
    now += 2
    assert check(run).status is WorkerStatus.NOT_FOUND


def test_a_lost_run_waits_for_the_code_server_that_is_to_start_it_again(
    instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster tries once, and without a code server in vain."""
    run = started_run(instance, dead_process())
    check = instance.run_launcher.check_run_worker_health
    assert check(run).status is WorkerStatus.NOT_FOUND
    gone = {"host": "localhost", "socket": str(tmp_path / "no_such_socket")}
    instance.add_run_tags(run.run_id, {".dagster/grpc_info": json.dumps(gone)})
    now = time.monotonic()
    monkeypatch.setattr(launcher_module.time, "monotonic", lambda: now)
    assert check(run).status is WorkerStatus.RUNNING
    now += launcher_module.PATIENCE_SECONDS + 1
    assert check(run).status is WorkerStatus.NOT_FOUND
    # The daemon that launched the run has to replace its code server first: that takes longer.
    instance.run_launcher._run_ids.add(run.run_id)
    assert check(run).status is WorkerStatus.RUNNING
    # Another run could be launched: there is a code server again.
    instance.run_launcher._last_launch = now
    assert check(run).status is WorkerStatus.NOT_FOUND


def test_monitoring_fails_a_lost_run_and_has_it_started_again(instance: DagsterInstance) -> None:
    assert isinstance(instance.run_launcher, CheckedLocalRunLauncher)
    goes_on = started_run(instance, os.getpid())
    instance.event_log_storage.free_concurrency_slots_for_run(goes_on.run_id)
    pid = dead_process()
    lost = started_run(instance, pid)
    with create_test_daemon_workspace_context(EmptyWorkspaceTarget(), instance) as workspace:
        list(execute_run_monitoring_iteration(workspace, dg.get_dagster_logger()))
    found = {run.run_id: run for run in instance.get_runs()}
    assert found[goes_on.run_id].status is DagsterRunStatus.STARTED
    assert found[lost.run_id].status is DagsterRunStatus.FAILURE
    assert found[lost.run_id].tags["dagster/will_retry"] == "true"
    messages = [entry.message for entry in instance.all_logs(lost.run_id)]
    assert any(f"process {pid} is gone (killed, or the machine went down)" in text for text in messages)


def test_what_fails_by_itself_is_not_started_again(tiny: Workshop) -> None:
    set_up_project(tiny.root)
    tiny.rewrite_index(lambda lines: [lines[0], "no,such,row"])
    with DagsterInstance.from_config(str(tiny.root / ".dagster")) as instance:
        assert not Workshop(tiny.root, instance).make("image_index").succeeded
        assert instance.get_runs()[0].tags["dagster/will_retry"] == "false"


def test_the_doctor_tells_of_lost_runs(tiny: Workshop) -> None:
    set_up_project(tiny.root)
    with DagsterInstance.from_config(str(tiny.root / ".dagster")) as instance:
        run = started_run(instance, dead_process())
    parts = {part.name: part for part in examine(tiny.root, read_images=False)}
    warning = parts["Dagster instance"].warnings[0]
    assert run.run_id in warning.what
    assert "dp-assets run" in warning.remedy
