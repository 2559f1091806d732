"""The run launcher of several machines: which queue a run waits in, and whether its worker still lives."""

from collections.abc import Mapping
from typing import Any

import redis
from celery import Celery  # type: ignore[import-untyped]
from dagster import DagsterRun, DagsterRunStatus, Field, IntSource, StringSource
from dagster import _check as check
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClassData, pack_value
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_TASK_ID_TAG

from dp_assets.config.errors import ClusterError
from dp_assets.orchestration.celery_app import CPU_QUEUE, GPU_QUEUE, QUEUES, WORKER_TAG, cluster_app
from dp_assets.orchestration.lease_store import lease_store
from dp_assets.orchestration.run_lease import LEASE_SECONDS, RENEW_SECONDS, LeaseWatch, RunLease
from dp_assets.orchestration.run_pools import needs_gpu

REDIS_URLS = ("redis://", "rediss://")


class ClusterRunLauncher(CeleryRunLauncher):
    """Celery's launcher for runs that hold a GPU or do not, with a health check that finds lost machines.

    Parameters
    ----------
    broker, backend : URLs of Redis; results go to the broker's when there is no backend.
    gpu_queue : where runs with an asset in pool `gpu` wait; "cpu" when no machine has a GPU.
    lost_after_seconds : a worker that has shown no sign of life for so long is lost.

    Raises
    ------
    ClusterError : a URL is not one of Redis, or `gpu_queue` is no queue.
    """

    def __init__(
        self,
        broker: str,
        backend: str | None = None,
        gpu_queue: str = GPU_QUEUE,
        lost_after_seconds: int = LEASE_SECONDS,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        for url in filter(None, (broker, backend)):
            _require_redis(url)
        _require_queue(gpu_queue, "run_launcher.config.gpu_queue")
        super().__init__(
            default_queue=CPU_QUEUE, broker=broker, backend=backend or broker, inst_data=inst_data
        )
        self.celery: Celery = cluster_app(broker, backend)
        self.gpu_queue = gpu_queue
        self.lost_after_seconds = lost_after_seconds
        self._leases = lease_store(broker)
        self._watch = LeaseWatch()

    @classmethod
    def config_type(cls) -> dict[str, Field]:
        return {
            "broker": Field(StringSource, description="URL of the Redis server that runs wait in."),
            "backend": Field(StringSource, is_required=False, description="URL of Redis for results."),
            "gpu_queue": Field(
                StringSource,
                is_required=False,
                default_value=GPU_QUEUE,
                description="Queue of runs with an asset in pool gpu: gpu, or cpu when no machine has a GPU.",
            ),
            "lost_after_seconds": Field(
                IntSource,
                is_required=False,
                default_value=LEASE_SECONDS,
                description="A worker that has shown no sign of life for so long is lost.",
            ),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> "ClusterRunLauncher":
        return cls(inst_data=inst_data, **config_value)

    def queue_of(self, run: DagsterRun) -> str:
        """The queue of a run: that of its tag `dagster-celery/queue`, else by the pools of its assets."""
        named = run.tags.get(DAGSTER_CELERY_QUEUE_TAG)
        if named is not None:
            _require_queue(named, f"tag {DAGSTER_CELERY_QUEUE_TAG}")
            return named
        return self.gpu_queue if needs_gpu(run) else CPU_QUEUE

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        # Not stored: a retry of the steps that are left may belong elsewhere, and tags are copied to it.
        routed = run.with_tags({**run.tags, DAGSTER_CELERY_QUEUE_TAG: self.queue_of(run)})
        arguments = ExecuteRunArgs(
            job_origin=check.not_none(run.job_code_origin),
            run_id=run.run_id,
            instance_ref=self._instance.get_ref(),
            set_exit_code_on_failure=True,
        )
        task = self.celery.tasks[TASK_EXECUTE_JOB_NAME]
        self._launch_celery_task_run(
            run=routed,
            task_signature=task.si(execute_job_args_packed=pack_value(arguments)),
            routing_key=TASK_EXECUTE_JOB_NAME,
        )

    @property
    def supports_resume_run(self) -> bool:
        """A lost run fails and is retried as a run of its own; nothing goes on under the same number."""
        return False

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if run.status is not DagsterRunStatus.CANCELING:
            # Else the run would say that it failed, and be started again.
            self._instance.report_run_canceling(run)
            run = check.not_none(self._instance.get_run_by_id(run_id))
        if DAGSTER_CELERY_TASK_ID_TAG in run.tags:
            super().terminate(run_id)
        if not self._is_held(run_id):
            # It waits in Redis: the worker that gets it leaves it alone.
            self._instance.report_run_canceled(run)
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process that executes a started run still shows signs of life.

        A run is never called lost because Redis is away, was restarted (empty or not), or because a step
        keeps its process busy: only when Redis answers and the lease has not changed for
        `lost_after_seconds`.
        """
        try:
            held = RunLease(self._leases, run.run_id).read()
        except redis.RedisError as error:
            self._watch.look_away()
            return CheckRunHealthResult(
                WorkerStatus.RUNNING, f"Redis does not answer: {type(error).__name__}"
            )
        silence = self._watch.silence(run.run_id, held)
        worker = run.tags.get(WORKER_TAG, "unknown")
        if silence >= self.lost_after_seconds:
            self._watch.forget(run.run_id)
            return CheckRunHealthResult(
                WorkerStatus.NOT_FOUND,
                f"worker {worker} is lost: no sign of life for {silence:.0f} seconds "
                "(the machine went down, the process was killed, or the network is cut)",
            )
        if silence >= 3 * RENEW_SECONDS and self._task_failed(run):
            self._watch.forget(run.run_id)
            return CheckRunHealthResult(WorkerStatus.FAILED, f"the process of worker {worker} was killed")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def get_run_worker_debug_info(
        self, run: DagsterRun, include_container_logs: bool | None = True
    ) -> str | None:
        del include_container_logs
        task = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG, "none")
        return f"worker {run.tags.get(WORKER_TAG, 'none yet')}, Celery task {task}"

    def _task_failed(self, run: DagsterRun) -> bool:
        """Whether Celery saw the process die; not asked first, since a second delivery has the same task."""
        task = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        try:
            return task is not None and self.celery.AsyncResult(task).state == "FAILURE"
        except redis.RedisError:
            return False

    def _is_held(self, run_id: str) -> bool:
        try:
            return RunLease(self._leases, run_id).read() is not None
        except redis.RedisError:
            return True


def _require_redis(url: str) -> None:
    if not url.startswith(REDIS_URLS):
        raise ClusterError(
            f"{url.partition(':')[0]!r} is not the beginning of a Redis URL",
            where="run_launcher.config.broker, backend",
            remedy="write redis://HOST:PORT/0, or rediss:// for an encrypted connection",
        )


def _require_queue(name: str, where: str) -> None:
    if name not in QUEUES:
        raise ClusterError(
            f"there is no queue {name!r}", where=where, remedy=f"use one of: {', '.join(QUEUES)}"
        )
