"""How runs ended: well, with a reason, or without one. What has no reason against it is asked for again.

There is none when a run was killed or stopped, and none when another run was at work on the same plate.
"""

from collections.abc import Iterator
from enum import Enum

import dagster as dg
from dagster import DagsterInstance
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from dp_assets.config.errors import AtWorkError
from dp_assets.orchestration.automation.names import STARTED_BY

RUN_KEY = "dagster/run_key"
WILL_RETRY = "dagster/will_retry"
INTERRUPTIONS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
AT_WORK = AtWorkError.__name__


class Outcome(Enum):
    """How a requested run stands."""

    UNKNOWN = "there is no such run"
    GOING_ON = "it has not ended"
    SUCCEEDED = "it succeeded"
    FAILED = "it failed, and says why"
    LOST = "it was killed or stopped"
    MET_ANOTHER = "another run was at work there"

    @property
    def says_nothing(self) -> bool:
        """Whether the same may be asked for again: nothing is known against it."""
        return self in (Outcome.UNKNOWN, Outcome.LOST, Outcome.MET_ANOTHER)


def outcome_of(instance: DagsterInstance, run_key: str, started_by: str) -> Outcome:
    """How the latest run of a key stands; of its retries, where the instance retries runs."""
    record = latest_of(instance, run_key, started_by)
    return outcome_of_run(instance, record.dagster_run) if record else Outcome.UNKNOWN


def latest_of(instance: DagsterInstance, run_key: str, started_by: str) -> dg.RunRecord | None:
    """The latest run of a key, or of its retries."""
    tags = {RUN_KEY: run_key, STARTED_BY: started_by}
    return next(iter(instance.get_run_records(dg.RunsFilter(tags=tags), limit=1)), None)


def outcome_of_run(instance: DagsterInstance, run: dg.DagsterRun) -> Outcome:
    """How a run stands."""
    if run.status not in FINISHED_STATUSES or starts_again(run):
        return Outcome.GOING_ON
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return Outcome.SUCCEEDED
    if failed_steps(instance, run.run_id):
        return Outcome.FAILED
    ended_by = [set(_errors(event)) for event in _step_failures(instance, run.run_id)]
    met = bool(ended_by) and all(AT_WORK in errors for errors in ended_by)
    return Outcome.MET_ANOTHER if met else Outcome.LOST


def starts_again(run: dg.DagsterRun) -> bool:
    """Whether Dagster starts a failed run again by itself.

    It tags runs of a command, too, and then finds that it does not know where they come from.
    """
    return run.tags.get(WILL_RETRY) == "true" and run.remote_job_origin is not None


def failed_steps(instance: DagsterInstance, run_id: str) -> set[str]:
    """The steps of a run that failed with a reason.

    None when it was killed or stopped, and none where another run was at work.
    """
    failures = _step_failures(instance, run_id)
    return {event.step_key for event in failures if event.step_key is not None and _has_reason(event)}


def found_another_run(event: dg.DagsterEvent) -> bool:
    """Whether a step failed since another run was at work on the same asset and plate."""
    return AT_WORK in _errors(event)


def _step_failures(instance: DagsterInstance, run_id: str) -> list[dg.DagsterEvent]:
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    return [entry.dagster_event for entry in entries if entry.dagster_event is not None]


def _has_reason(event: dg.DagsterEvent) -> bool:
    return not {AT_WORK, *INTERRUPTIONS} & set(_errors(event))


def _errors(event: dg.DagsterEvent) -> Iterator[str]:
    """The class of the error that ended a step, and those of its causes."""
    error = event.step_failure_data.error
    while error is not None:
        yield error.cls_name or ""
        error = error.cause


class WasLost(dg.AutomationCondition):
    """True for what a run had planned that was killed before it got there, or stopped, or found another run.

    Meant for what has failed (`execution_failed`), so it looks at few partitions only.
    """

    @property
    def name(self) -> str:
        """As the UI shows it."""
        return "was_lost"

    @property
    def description(self) -> str:
        """As the UI shows it."""
        return "Its last run was killed or stopped, or found another run at work"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """The partitions among the candidates whose last run says nothing against them."""
        view, key = context.asset_graph_view, context.key
        lost: set[AssetKeyPartitionKey] = set()
        ended: dict[str, set[str] | None] = {}
        step = "__".join(key.path)
        for candidate in context.candidate_subset.expensively_compute_asset_partitions():
            planned = view.instance.event_log_storage.get_latest_planned_materialization_info(
                key, candidate.partition_key
            )
            if planned is None:
                continue
            if planned.run_id not in ended:
                ended[planned.run_id] = _reasons(view.instance, planned.run_id)
            reasons = ended[planned.run_id]
            # what follows a step that failed waits for that step: its dependency is missing
            if reasons is not None and step not in reasons:
                lost.add(candidate)
        return dg.AutomationResult(context, view.get_asset_subset_from_asset_partitions(key, lost))


class StillMissing(dg.AutomationCondition):
    """True for what has not been made while the other conditions were evaluated.

    Dagster reads what is made first, and what is being made some time later: a run that ends in between is in
    neither. Meant to come last, for few partitions.
    """

    @property
    def name(self) -> str:
        """As the UI shows it."""
        return "still_missing"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """The candidates without a materialization at this moment."""
        view, key = context.asset_graph_view, context.key
        candidates = context.candidate_subset.expensively_compute_asset_partitions()
        found: set[AssetKeyPartitionKey] = set()
        if any(candidate.partition_key is None for candidate in candidates):
            found = set() if view.instance.get_latest_materialization_event(key) else set(candidates)
        elif candidates:
            made = view.instance.get_materialized_partitions(key)
            found = {candidate for candidate in candidates if candidate.partition_key not in made}
        return dg.AutomationResult(context, view.get_asset_subset_from_asset_partitions(key, found))


def _reasons(instance: DagsterInstance, run_id: str) -> set[str] | None:
    """The steps of a run that failed by themselves; None when it is not over."""
    run = instance.get_run_by_id(run_id)
    if run is not None and outcome_of_run(instance, run) is Outcome.GOING_ON:
        return None
    return failed_steps(instance, run_id)
