"""Whether a run ended with a reason is read from the errors of its steps, and what caused them."""

import dagster as dg
import pytest
from dagster import DagsterInstance
from dagster._core.events import DagsterEvent, DagsterEventType, StepFailureData
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster_shared.error import SerializableErrorInfo

from dp_assets.orchestration.automation.backfill_plan import failure_of
from dp_assets.orchestration.automation.ended_runs import Outcome, failed_steps, outcome_of_run
from dp_assets_tests.orchestration.automation.records import key, planned_run

ASSETS = ("plate_images", "image_quality")
AT_WORK = ("Failure", "AtWorkError", "Timeout")
BAD_DATA = ("Failure", "ImageFileError", "FileNotFoundError")
STOPPED = ("DagsterExecutionStepExecutionError", "DagsterExecutionInterruptedError")


def chain(names: tuple[str, ...]) -> SerializableErrorInfo:
    """An error, each name caused by the next."""
    cause = chain(names[1:]) if names[1:] else None
    return SerializableErrorInfo(f"{names[0]}: so it was", [], names[0], cause)


def failed_run(instance: DagsterInstance, *failures: tuple[str, ...]) -> dg.DagsterRun:
    """A failed run whose first steps failed with these errors."""
    run = planned_run(instance, ASSETS, "P1", DagsterRunStatus.FAILURE)
    for step, names in zip(ASSETS, failures, strict=False):
        data = StepFailureData(error=chain(names), user_failure_data=None)
        event = DagsterEvent(
            DagsterEventType.STEP_FAILURE.value, run.job_name, step_key=step, event_specific_data=data
        )
        instance.report_dagster_event(event, run.run_id)
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    return ended


@pytest.mark.parametrize(
    ("failures", "steps", "outcome", "why"),
    [
        ((), set(), Outcome.LOST, "its run was killed"),
        ((STOPPED,), set(), Outcome.LOST, "its run was killed"),
        ((AT_WORK,), set(), Outcome.MET_ANOTHER, "another run was at work on it"),
        ((STOPPED, AT_WORK), set(), Outcome.LOST, "another run was at work on it"),
        ((BAD_DATA,), {"plate_images"}, Outcome.FAILED, "FileNotFoundError: so it was"),
        ((BAD_DATA, AT_WORK), {"plate_images"}, Outcome.FAILED, "FileNotFoundError: so it was"),
        (
            (AT_WORK, BAD_DATA),
            {"image_quality"},
            Outcome.FAILED,
            "image_quality failed: FileNotFoundError: so it was",
        ),
    ],
)
def test_bad_data_is_a_reason_and_a_kill_or_another_run_is_none(
    failures: tuple[tuple[str, ...], ...], steps: set[str], outcome: Outcome, why: str
) -> None:
    with DagsterInstance.ephemeral() as instance:
        run = failed_run(instance, *failures)
        assert failed_steps(instance, run.run_id) == steps
        assert outcome_of_run(instance, run) is outcome
        assert failure_of(instance, key("plate_images"), "P1") == why
