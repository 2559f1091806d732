"""Executing whole runs on the workers of several machines: the Celery application and its one task.

Redis delivers a run *at least* once: a task is acknowledged when it is done, so that a run that a dying
machine had taken but not begun is handed to another. What must not happen twice is the run itself: a
delivered run is executed only if it waits to be executed and nobody holds its lease (`run_lease.py`).

A run whose process alone died before the run had begun is not handed on: its worker declares it failed, and
Dagster retries it, so often and no more. (Of runs that have begun run monitoring finds the dead process.)

Importing this needs no server. Tools of Celery find the application as `dp_assets.orchestration.celery_app`;
`dp-assets worker` starts workers.
"""

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
from celery import Celery, Task, signals  # type: ignore[import-untyped]
from celery.exceptions import Ignore, WorkerLostError  # type: ignore[import-untyped]
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import unpack_value
from dagster._utils.interrupts import capture_interrupts
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_celery.tasks import create_execute_job_task
from dagster_postgres.utils import DagsterPostgresException
from kombu import Queue
from sqlalchemy.exc import OperationalError

from dp_assets.orchestration.lease_store import LeaseStore, lease_store
from dp_assets.orchestration.run_lease import Heartbeat, RunLease, owner_name, process_of

BROKER_VARIABLE = "DP_BROKER_URL"
BACKEND_VARIABLE = "DP_BACKEND_URL"
CPU_QUEUE, GPU_QUEUE = "cpu", "gpu"
QUEUES = (CPU_QUEUE, GPU_QUEUE)
WORKER_TAG = "dp/worker"
# A task that was not acknowledged for so long is delivered again. Long runs are delivered again, too, and the
# second taker drops them at once; so this only needs to be well below the time limit for runs to start.
VISIBILITY_SECONDS = 600
RESULT_SECONDS = 7 * 24 * 3600
# What a run meets at its beginning when a server is away; an hour of trying.
SERVER_ERRORS = (redis.RedisError, OperationalError, DagsterPostgresException)
RETRY_SECONDS = 30
MAXIMUM_RETRIES = 120
WAITING = (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING)

logger = logging.getLogger(__name__)


def cluster_app(broker: str | None, backend: str | None = None, default_queue: str = CPU_QUEUE) -> Celery:
    """The Celery application of workers and of the run launcher.

    Parameters
    ----------
    broker, backend : URLs of Redis; results go to the broker's when there is no backend.
    default_queue : the queue of a run that names none.
    """
    made = Celery("dp_assets", broker=broker, backend=backend or broker, set_as_current=False)
    made.conf.update(
        task_queues=[Queue(name, routing_key=f"{name}.#") for name in QUEUES],
        task_default_queue=default_queue,
        task_acks_late=True,
        # The run of a killed process has failed (and is retried as a new run); it is not delivered again.
        task_reject_on_worker_lost=False,
        # A run that waits behind a long one could be executed elsewhere.
        worker_prefetch_multiplier=1,
        # TensorFlow is set up once per process, and keeps the memory of the GPU until the process ends.
        worker_max_tasks_per_child=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options={"visibility_timeout": VISIBILITY_SECONDS, "health_check_interval": 30},
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        result_backend_always_retry=True,
        result_expires=RESULT_SECONDS,
        redis_backend_health_check_interval=30,
        redis_retry_on_timeout=True,
        redis_socket_keepalive=True,
    )
    # Dagster's own task, made for an application of its own: one name can be registered once.
    options: dict[str, Any] = {"shared": False}
    worker = _WorkerName(made)
    execute = create_execute_job_task(Celery("inner", set_as_current=False), **options)

    # All deliveries of a run have one result. It is to say what became of the process that was at work: so
    # none of them writes that it was started, and one that is left alone writes nothing at all.
    @made.task(bind=True, name=TASK_EXECUTE_JOB_NAME, track_started=False, shared=False)
    def execute_job(task: Task, execute_job_args_packed: dict[str, Any]) -> int:
        run_id = _run_id(execute_job_args_packed)
        try:
            with DagsterInstance.get() as instance:
                exit_code = execute_delivered(
                    instance,
                    run_id,
                    lease_store(broker or ""),
                    worker.of(task),
                    lambda: execute.run(execute_job_args_packed),
                )
        except SERVER_ERRORS as error:
            # Delivered again later: if the run began meanwhile, it is left alone then.
            raise task.retry(exc=error, countdown=RETRY_SECONDS, max_retries=MAXIMUM_RETRIES) from error
        if exit_code is None:
            raise Ignore(f"run {run_id} is left alone")
        return exit_code

    def report_if_lost(sender: Task, exception: BaseException, kwargs: dict[str, Any], **_: Any) -> None:
        """Called in the worker's main process when a process is gone; in others for errors of every kind."""
        if not isinstance(exception, WorkerLostError):
            return
        run_id = _run_id(kwargs["execute_job_args_packed"])
        try:
            with DagsterInstance.get() as instance:
                report_lost(instance, run_id, lease_store(broker or ""), worker.of(sender), str(exception))
        except SERVER_ERRORS as error:
            logger.error("run %s lost its process, which could not be reported: %s", run_id, error)

    made.finalize()
    signals.celeryd_init.connect(worker.remember, weak=False)
    signals.task_failure.connect(report_if_lost, sender=made.tasks[TASK_EXECUTE_JOB_NAME], weak=False)
    return made


def _run_id(execute_job_args_packed: dict[str, Any]) -> str:
    return unpack_value(execute_job_args_packed, as_type=ExecuteRunArgs).run_id


class _WorkerName:
    """The name of the worker that an application is at work in.

    Remembered from the start of the worker, before its processes are forked off: all of them know it. The
    request of a task names the worker, too, but in the main process of Celery before 5.7 there is none.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._name = ""

    def remember(self, sender: str, instance: Any, **_: Any) -> None:
        """Called at the start of each worker in this process with its name."""
        if instance.app is self._app:
            self._name = sender

    def of(self, task: Task) -> str:
        """The name of the worker that has this task; of the machine, where none was started."""
        return self._name or task.request.hostname or socket.gethostname()


def execute_delivered(
    instance: DagsterInstance, run_id: str, store: LeaseStore, worker: str, execute: Callable[[], int]
) -> int | None:
    """Execute a run that was delivered to this process, if that is still to be done.

    Parameters
    ----------
    store : where leases are kept.
    worker : the name of this worker, for people.
    execute : does it; its result is the exit code of the run.

    Returns
    -------
    The exit code of the run; None when it was left alone.
    """
    run = instance.get_run_by_id(run_id)
    if run is None or run.status not in WAITING:
        logger.warning(
            "run %s is left alone: it is %s", run_id, run.status.value if run else "not known here"
        )
        return None
    lease = RunLease(store, run_id, owner_name(worker, os.getpid()))
    if not lease.claim():
        logger.warning("run %s is left alone: another worker has it", run_id)
        return None
    # Whatever happens from here on, the lease is given back: another delivery would find it taken.
    try:
        # Between the look and the claim another worker may have executed and released it.
        run = instance.get_run_by_id(run_id)
        if run is None or run.status not in WAITING:
            return None
        instance.add_run_tags(run_id, {WORKER_TAG: worker})
        heartbeat = Heartbeat(lease, lambda: _is_over(instance, run_id), _end_this_process)
        try:
            with heartbeat.beating(), _interruptible():
                return execute()
        except Exception as error:
            _report(instance, run, worker, error)
            raise
    finally:
        # While Redis is away the lease runs out by itself.
        with suppress(redis.RedisError):
            lease.release()


def report_lost(instance: DagsterInstance, run_id: str, store: LeaseStore, worker: str, reason: str) -> bool:
    """Declare a run failed whose process died after this worker had given it the run, and before it began.

    The lease is taken first, so that nobody begins the run meanwhile. A run that another process has is left
    alone: another delivery is at work then. Whoever comes later finds a failed run.

    Parameters
    ----------
    store : where leases are kept.
    worker : the name of this worker, whose machine the dead process was on.
    reason : what is known about its death.

    Returns
    -------
    Whether it was declared failed.
    """

    def is_gone(owner: str) -> bool:
        process = process_of(owner, worker)
        return process is not None and not _is_alive(process)

    run = instance.get_run_by_id(run_id)
    if run is None or run.status not in WAITING:
        return False
    lease = RunLease(store, run_id, owner_name(worker, os.getpid()))
    if not lease.claim_after(is_gone):
        logger.warning("run %s lost a process, but another one has it", run_id)
        return False
    try:
        run = instance.get_run_by_id(run_id)
        if run is None or run.status not in WAITING:
            return False
        message = f"worker {worker} lost the process of this run before the run had begun: {reason}"
        instance.report_run_failed(run, message)
        logger.error("run %s has failed: %s", run_id, message)
        return True
    finally:
        with suppress(redis.RedisError):
            lease.release()


def _is_alive(process: int) -> bool:
    """Whether a process of this machine is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _is_over(instance: DagsterInstance, run_id: str) -> bool:
    """Whether the run was declared failed or cancelled (success is declared by this process itself)."""
    run = instance.get_run_by_id(run_id)
    return run is None or run.status in (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)


def _end_this_process(reason: str) -> None:
    """Stop computing at once: a retry may be at work, and finished sites are kept."""
    logger.error("this process ends: %s", reason)
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM, by which Celery terminates a run, interrupt it as Ctrl+C does elsewhere in Dagster."""
    with capture_interrupts():
        yield
    # Dagster leaves what Celery set for SIGINT, which is to ignore it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _report(instance: DagsterInstance, run: DagsterRun, worker: str, error: Exception) -> None:
    """A run that could not even begin would be waited for."""
    current = instance.get_run_by_id(run.run_id)
    if current is not None and not current.is_finished:
        instance.report_run_failed(current, f"worker {worker} could not execute this run: {error}")


app = cluster_app(os.environ.get(BROKER_VARIABLE), os.environ.get(BACKEND_VARIABLE))
