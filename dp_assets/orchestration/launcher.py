"""The run launcher of one machine, which notices when the process of a run is gone."""

import os
import time

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

from dp_assets.orchestration.instance import wait_for_locked_records
from dp_assets.orchestration.lost_runs import Process, run_process

# Between the record that a run has started and its process's first own record lies a moment.
PATIENCE_SECONDS = 30.0
# A daemon replaces a lost code server a minute later; on a busy machine it takes its time to load the code.
REPLACEMENT_SECONDS = 240.0
BACKFILLS_WAIT = "DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR"


class CheckedLocalRunLauncher(DefaultRunLauncher):
    """Dagster's launcher of local processes, with a health check; without one, monitoring finds no lost run.

    The code server is not asked: after a reload of the code another one answers, which does not know the run.
    """

    def __init__(self, *args: object, **settings: object) -> None:
        super().__init__(*args, **settings)  # type: ignore[arg-type]
        wait_for_locked_records()
        # Dagster's daemon fails a backfill when the code cannot be loaded at the moment, unless told to wait.
        os.environ.setdefault(BACKFILLS_WAIT, "1")
        self._waiting_since: dict[str, float] = {}
        self._last_launch = float("-inf")

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Always."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a started run is there; monitoring fails a run that is not RUNNING."""
        found = run_process(self._instance, run)
        if found.state is Process.ALIVE:
            self._waiting_since.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING, found.reason)
        if (found.state is Process.UNKNOWN or self._is_code_server_gone(run)) and self._is_patient(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING, found.reason, transient=True)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, found.reason)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Have a code server begin a run."""
        super().launch_run(context)
        self._last_launch = time.monotonic()

    def _is_patient(self, run: DagsterRun) -> bool:
        now = time.monotonic()
        since = self._waiting_since.setdefault(run.run_id, now)
        # A daemon that has just started has a code server; the one that launched the run has to replace it.
        patience = REPLACEMENT_SECONDS if run.run_id in self._run_ids else PATIENCE_SECONDS
        return self._last_launch <= since and now - since < patience

    def _is_code_server_gone(self, run: DagsterRun) -> bool:
        """Whether the code server that began the run does not answer.

        Without one, Dagster would give up to start the failed run again, for good.
        """
        client = self._get_grpc_client_for_termination(run.run_id)
        if client is None:
            return False
        try:
            client.ping("")
        except DagsterUserCodeUnreachableError:
            return True
        return False

    def get_run_worker_debug_info(
        self,
        run: DagsterRun,
        include_container_logs: bool | None = True,  # noqa: ARG002
    ) -> str | None:
        """What is known of the process of a run that did not start or end in time."""
        return run_process(self._instance, run).reason
