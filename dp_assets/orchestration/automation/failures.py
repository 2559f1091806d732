"""What is known of a run that failed, and the sensor that passes it on."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import dagster as dg

from dp_assets.config.automation import AutomationSettings
from dp_assets.orchestration.automation.ended_runs import starts_again
from dp_assets.orchestration.automation.names import FAILURES, STARTED_BY
from dp_assets.orchestration.stage_runner import failure_message

ASSET_JOB = "__ASSET_JOB"


@dataclass(frozen=True)
class Failure:
    """Something that needs a person.

    Attributes
    ----------
    time : when it was noticed, ISO 8601, UTC.
    what : what failed, in a few words.
    message : what is wrong, with its remedy.
    run_id, job, plate : of the run; empty where there is none.
    assets : the assets that were not made, with slashes.
    started_by : what had started the run: a sensor or schedule of the automation, or empty.
    retried : whether Dagster is about to start the run again.
    """

    time: str
    what: str
    message: str
    run_id: str = ""
    job: str = ""
    plate: str = ""
    assets: tuple[str, ...] = ()
    started_by: str = ""
    retried: bool = False

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)

    def text(self) -> str:
        """As a message for people."""
        lines = [self.what, "", self.message]
        if self.run_id:
            lines += ["", f"run {self.run_id} at {self.time}"]
        return "\n".join(lines)


def now() -> str:
    """The time as failures give it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def failures_sensor(
    settings: AutomationSettings, pass_on: Callable[[Failure], list[str]]
) -> dg.SensorDefinition:
    """The sensor that passes on every run that failed.

    Parameters
    ----------
    pass_on : tells whoever is to be told; returns what could not be sent and why.
    """

    @dg.run_failure_sensor(
        name=FAILURES,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=settings.every_seconds,
        monitor_all_code_locations=False,
        description=f"Writes runs that fail to {settings.notify.log}, and tells whom project.yaml names.",
    )
    def failures(context: dg.RunFailureSensorContext) -> None:
        for problem in pass_on(failure_of_run(context)):
            context.log.warning(problem)

    return failures


def failure_of_run(context: dg.RunFailureSensorContext) -> Failure:
    """What is known of the run that failed."""
    run = context.dagster_run
    steps = [event for event in context.get_step_failure_events() if event.step_failure_data]
    messages = [failure_message(event) for event in steps]
    planned = sorted(key.to_user_string() for key in run.asset_selection or ())
    failed = [event.step_key.replace("__", "/") for event in steps if event.step_key]
    assets = tuple(failed or planned)
    plate = run.tags.get("dagster/partition", "")
    job = "" if run.job_name.startswith(ASSET_JOB) else run.job_name
    name = ", ".join(assets[:3]) + (f" and {len(assets) - 3} more" if len(assets) > 3 else "")
    return Failure(
        time=now(),
        what=f"{name or run.job_name} failed" + (f" for plate {plate}" if plate else ""),
        message=messages[0]
        if messages
        else context.failure_event.message or "the run ended without a message",
        run_id=run.run_id,
        job=job,
        plate=plate,
        assets=assets,
        started_by=run.tags.get(STARTED_BY, ""),
        retried=starts_again(run),
    )
