"""What may go wrong between PostgreSQL, Redis and workers, each by itself."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import pack_value
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from dp_assets.orchestration.cluster_launcher import ClusterRunLauncher
from dp_assets_tests.cluster.installation import LOST_AFTER_SECONDS, Installation, worker_of
from dp_assets_tests.cluster.processes import module, wait_until
from dp_assets_tests.cluster.servers import Postgres, RedisServer

pytestmark = pytest.mark.cluster

GRAPH = "dp_assets_tests.cluster.waiting_graph"
PATIENCE = 240.0


@pytest.fixture
def installation(tmp_path: Path, servers: tuple[Postgres, RedisServer]) -> Iterator[Installation]:
    """An installation whose assets only wait, with a daemon."""
    (tmp_path / "project" / "inputs").mkdir(parents=True)
    made = Installation(tmp_path / "cluster", tmp_path / "project", *servers, definitions=GRAPH)
    made.daemon()
    try:
        yield made
    finally:
        made.stop()
        assert made.leftovers() == {}


@pytest.fixture
def instance(installation: Installation) -> Iterator[DagsterInstance]:
    """Its instance."""
    with installation.instance() as instance:
        yield instance


def launch(installation: Installation, job: str, seconds: float, busy: bool = False) -> None:
    """Put a run of a job into the queue."""
    config = installation.folder / f"{job}.yaml"
    settings = {"seconds": seconds, "busy": busy}
    config.write_text(yaml.safe_dump({"ops": {f"on_a_{job}": {"config": settings}}}))
    number = len(installation.machines)
    made = installation.machine(
        f"launch_{number}", module("dagster", "job", "launch", "-m", GRAPH, "-j", job, "-c", str(config))
    )
    wait_until(lambda: not made.is_running, f"the run is queued ({made.log})", PATIENCE)


def the_run(instance: DagsterInstance) -> DagsterRun:
    """The first run there was."""
    return instance.get_runs(ascending=True)[0]


def wait_for(
    instance: DagsterInstance, *statuses: DagsterRunStatus, of: Callable[..., DagsterRun] = the_run
) -> None:
    """Wait until a run has one of some statuses."""
    names = ", ".join(status.value for status in statuses)
    wait_until(
        lambda: bool(instance.get_runs_count()) and of(instance).status in statuses,
        f"the run is {names}",
        PATIENCE,
    )


def log_of(installation: Installation, asset: str) -> list[str]:
    """What an asset wrote down."""
    return (installation.root / f"{asset}.txt").read_text().split()


def process_of(instance: DagsterInstance, run: DagsterRun) -> int:
    """The process that executes a run, as it said itself."""
    said = [str(entry.message) for entry in instance.all_logs(run.run_id)]
    (pid,) = {int(found[1]) for line in said if (found := re.search(r"Started process .*pid: (\d+)", line))}
    return pid


def begun(installation: Installation, asset: str) -> bool:
    """Whether an asset is at work."""
    return (installation.root / f"{asset}.txt").exists()


def deliver(instance: DagsterInstance, run: DagsterRun, queue: str) -> None:
    """Hand a run to the workers again, as Redis does after its visibility timeout: it is the same task."""
    launcher = instance.run_launcher
    assert isinstance(launcher, ClusterRunLauncher)
    assert run.job_code_origin is not None
    arguments = ExecuteRunArgs(
        run.job_code_origin, run.run_id, instance.get_ref(), set_exit_code_on_failure=True
    )
    launcher.celery.tasks[TASK_EXECUTE_JOB_NAME].apply_async(
        kwargs={"execute_job_args_packed": pack_value(arguments)},
        queue=queue,
        routing_key=f"{queue}.again",
        task_id=run.tags[DAGSTER_CELERY_TASK_ID_TAG],
    )


def deliver_again(installation: Installation, instance: DagsterInstance, run: DagsterRun) -> None:
    """Deliver a run once more, and wait until a worker has left it alone."""

    def left_alone() -> int:
        return sum(
            machine.text().count(f"run {run.run_id} is left alone") for machine in installation.machines
        )

    before = left_alone()
    deliver(instance, run, "cpu")
    wait_until(lambda: left_alone() > before, "the second delivery is dealt with", PATIENCE)


def unacknowledged(installation: Installation) -> int:
    """How many deliveries workers have at hand."""
    return int(installation.redis.client.hlen("unacked"))


def test_runs_of_the_pool_gpu_go_to_machines_with_one(
    installation: Installation, instance: DagsterInstance
) -> None:
    cpu, gpu = installation.worker("cpu", "cpu"), installation.worker("gpu", "gpu")
    launch(installation, "gpu", 0.1)
    launch(installation, "cpu", 0.1)
    wait_until(
        lambda: instance.get_runs_count() == 2 and all(r.is_finished for r in instance.get_runs()),
        "both done",
        PATIENCE,
    )
    of_job = {run.job_name: run for run in instance.get_runs()}
    assert {run.status for run in of_job.values()} == {DagsterRunStatus.SUCCESS}
    assert worker_of(of_job["gpu"]) == str(gpu.pid)
    assert worker_of(of_job["cpu"]) == str(cpu.pid)


def test_a_run_delivered_twice_is_executed_once(
    installation: Installation, instance: DagsterInstance
) -> None:
    installation.worker("machine_1", "cpu")
    installation.worker("machine_2", "cpu")
    launch(installation, "cpu", 15)
    wait_until(lambda: begun(installation, "on_a_cpu"), "the asset is at work", PATIENCE)
    deliver_again(installation, instance, the_run(instance))
    assert the_run(instance).status == DagsterRunStatus.STARTED, (
        "the second delivery came too late to show anything"
    )
    wait_for(instance, DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)
    deliver_again(installation, instance, the_run(instance))
    assert the_run(instance).status == DagsterRunStatus.SUCCESS
    assert log_of(installation, "on_a_cpu") == ["began", "ended"]
    assert instance.get_runs_count() == 1


@pytest.mark.parametrize("busy", [False, True], ids=["redis_restarts_empty", "step_holds_the_interpreter"])
def test_a_run_is_not_called_lost_because(
    tmp_path: Path, installation: Installation, instance: DagsterInstance, busy: bool
) -> None:
    """Longer than the limit without a word from Redis, or without a chance for the process to give one."""
    del tmp_path
    installation.worker("machine_1", "cpu")
    seconds = LOST_AFTER_SECONDS - 8 if busy else LOST_AFTER_SECONDS + 20
    launch(installation, "cpu", seconds, busy)
    wait_until(lambda: begun(installation, "on_a_cpu"), "the asset is at work", PATIENCE)
    if not busy:
        installation.redis.restart_empty(after=LOST_AFTER_SECONDS + 5)
    wait_for(instance, DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)
    assert the_run(instance).status == DagsterRunStatus.SUCCESS
    assert log_of(installation, "on_a_cpu") == ["began", "ended"]
    # and the worker still works
    launch(installation, "cpu", 0.1)
    wait_until(
        lambda: [run.status for run in instance.get_runs()] == [DagsterRunStatus.SUCCESS] * 2,
        "another run",
        PATIENCE,
    )


@pytest.mark.parametrize("twice", [False, True], ids=["delivered_once", "delivered_twice"])
def test_a_killed_process_is_found_and_its_run_retried(
    installation: Installation, instance: DagsterInstance, twice: bool
) -> None:
    machine = installation.worker("machine_1", "cpu")
    launch(installation, "cpu", 30)
    wait_until(lambda: begun(installation, "on_a_cpu"), "the asset is at work", PATIENCE)
    pid = process_of(instance, the_run(instance))
    assert pid != machine.pid
    if twice:
        installation.worker("machine_2", "cpu")
        deliver_again(installation, instance, the_run(instance))
        wait_until(lambda: unacknowledged(installation) == 1, "that one is acknowledged", PATIENCE)
    os.kill(pid, signal.SIGKILL)
    wait_for(instance, DagsterRunStatus.FAILURE)
    said = [str(entry.message) for entry in instance.all_logs(the_run(instance).run_id)]
    # found sooner than by the silence of its lease, which has other words
    assert any(re.search(r"the process of worker \S+ was killed", message) for message in said), said
    wait_until(lambda: instance.get_runs_count() == 2, "there is a retry", PATIENCE)
    wait_for(instance, DagsterRunStatus.SUCCESS, of=lambda i: i.get_runs()[0])
    assert log_of(installation, "on_a_cpu") == ["began", "began", "ended"]


def test_a_run_whose_process_dies_before_it_begins_is_retried(
    installation: Installation, instance: DagsterInstance
) -> None:
    launch(installation, "cpu", 0.1)
    wait_for(instance, DagsterRunStatus.STARTING)
    run = the_run(instance)
    daemon = installation.machines[0]
    wait_until(lambda: "Launched 1 runs" in daemon.text(), "the launch is over", PATIENCE)
    deadly = installation.root / "deadly"
    deadly.touch()
    installation.worker("machine_1", "cpu")
    wait_until(lambda: not deadly.exists(), "the process has died", PATIENCE)
    # far below the time limit for runs to start
    wait_until(lambda: the_run(instance).status == DagsterRunStatus.FAILURE, "its run has failed", 60.0)
    said = [str(entry.message) for entry in instance.all_logs(run.run_id)]
    assert any("lost the process of this run before the run had begun" in message for message in said), said
    wait_until(lambda: instance.get_runs_count() == 2, "there is a retry", PATIENCE)
    wait_for(instance, DagsterRunStatus.SUCCESS, of=lambda i: i.get_runs()[0])
    assert log_of(installation, "on_a_cpu") == ["began", "ended"]


def test_a_run_that_waits_for_a_worker_is_not_lost(
    installation: Installation, instance: DagsterInstance
) -> None:
    launch(installation, "cpu", 0.1)
    wait_for(instance, DagsterRunStatus.STARTING)
    time.sleep(LOST_AFTER_SECONDS + 10)
    assert the_run(instance).status == DagsterRunStatus.STARTING
    installation.worker("machine_1", "cpu")
    wait_for(instance, DagsterRunStatus.SUCCESS)


def test_a_run_can_be_stopped(installation: Installation, instance: DagsterInstance) -> None:
    launch(installation, "cpu", 0.1)
    wait_for(instance, DagsterRunStatus.STARTING)
    waiting = the_run(instance)
    assert instance.run_launcher.terminate(waiting.run_id)
    assert the_run(instance).status == DagsterRunStatus.CANCELED
    installation.worker("machine_1", "cpu")
    launch(installation, "cpu", 120)
    wait_until(lambda: begun(installation, "on_a_cpu"), "the asset is at work", PATIENCE)
    running = instance.get_runs()[0]
    assert instance.run_launcher.terminate(running.run_id)
    wait_for(instance, DagsterRunStatus.CANCELED, of=lambda i: i.get_runs()[0])
    time.sleep(10)
    assert log_of(installation, "on_a_cpu") == ["began"], "it was started again"
    assert instance.get_runs_count() == 2


def test_a_run_that_is_delivered_while_the_database_is_away_is_executed_later(
    installation: Installation, instance: DagsterInstance
) -> None:
    worker = installation.worker("machine_1", "gpu")
    launch(installation, "cpu", 0.1)
    wait_for(instance, DagsterRunStatus.STARTING)
    # A daemon without a database in the middle of a launch would call the launch failed.
    daemon = installation.machines[0]
    wait_until(lambda: "Launched 1 runs" in daemon.text(), "the launch is over", PATIENCE)
    # Only now does it say which task it is.
    run = the_run(instance)
    installation.postgres.stop()
    deliver(instance, run, "gpu")
    wait_until(lambda: "Retry in 30s" in worker.text(), "the worker puts the run off", PATIENCE)
    installation.postgres.start_again()
    wait_for(instance, DagsterRunStatus.SUCCESS)
    assert log_of(installation, "on_a_cpu") == ["began", "ended"]


def test_one_run_at_a_time_has_the_gpu(installation: Installation, instance: DagsterInstance) -> None:
    installation.worker("machine_1", "gpu")
    installation.worker("machine_2", "gpu")
    launch(installation, "gpu", PATIENCE)
    wait_until(lambda: begun(installation, "on_a_gpu"), "the first is at work", PATIENCE)
    launch(installation, "gpu", 0.1)
    time.sleep(15)
    of_gpu = [run.status for run in instance.get_runs(ascending=True) if run.job_name == "gpu"]
    assert of_gpu == [DagsterRunStatus.STARTED, DagsterRunStatus.QUEUED], "it waits without a worker"
    assert log_of(installation, "on_a_gpu") == ["began"]
    (installation.root / "go").touch()
    wait_until(lambda: all(run.is_finished for run in instance.get_runs()), "all is done", PATIENCE)
    assert log_of(installation, "on_a_gpu") == ["began", "ended"] * 2
