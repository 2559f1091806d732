"""The sensor that trains again where an experiment says so, and has the features follow the new model."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import dagster as dg
from dagster import DagsterInstance
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from dp_assets.config.automation import AutomationSettings
from dp_assets.config.errors import ProjectError
from dp_assets.config.experiment import Experiment
from dp_assets.orchestration.assets.experiment_model import partition_of
from dp_assets.orchestration.automation.ended_runs import Outcome, latest_of, outcome_of_run, starts_again
from dp_assets.orchestration.automation.names import RETRAIN, STARTED_BY
from dp_assets.orchestration.automation.staleness import Staleness
from dp_assets.orchestration.crop_supplies import supply_assets
from dp_assets.orchestration.live_runs import Held, mark_of
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.model_folder import ModelFolder
from dp_assets.storage.schemas import PLATE
from dp_assets.storage.tables import read_table

RETRAIN_JOB = "retrain"
ANNOTATIONS = dg.AssetKey("plate_annotations")
OF_A_PLATE = ("cell_features", "site_profiles", "well_profiles")
MOST_ATTEMPTS = 3
# A training that met another run is no attempt, and is asked for without end. Runs of this instance are
# waited for; one that is not recorded here may be met again and again: once an hour is enough.
SECONDS_AFTER_MEETING = 3600.0


@dataclass(frozen=True)
class Asked:
    """What the sensor remembers of an experiment.

    Attributes
    ----------
    plates : fingerprint of the plates that a training was requested for.
    number : how many trainings were requested; part of their run keys.
    attempts : how often for these plates, without those that met another run.
    model : data version of the model that features were requested for.
    """

    plates: str = ""
    number: int = 0
    attempts: int = 0
    model: str = ""

    def run_key(self, experiment: str) -> str:
        """The key of the training that was requested last."""
        return f"{experiment} {self.number} {self.plates}"


@dataclass(frozen=True)
class SplitPlates:
    """The plates of an experiment's split.

    Attributes
    ----------
    ready : those whose crops are there.
    unfinished : those whose crops are not.
    known : those that the published model was trained on.
    """

    ready: tuple[str, ...]
    unfinished: tuple[str, ...]
    known: tuple[str, ...]

    @property
    def new(self) -> tuple[str, ...]:
        """Ready, and unknown to the model."""
        return tuple(plate for plate in self.ready if plate not in self.known)


def retrain_job(experiments: Sequence[Experiment]) -> Any:
    """The job that trains an experiment again, and makes its plates' features anew."""
    names = ("training_set", "trained_model")
    keys = [dg.AssetKey([experiment.name, name]) for experiment in experiments for name in names]
    return dg.define_asset_job(
        RETRAIN_JOB,
        selection=dg.AssetSelection.assets(*keys),
        description="Train again. The sensor that starts it names the experiment.",
    )


def retraining_sensor(
    project: ProjectResource,
    settings: AutomationSettings,
    experiments: Sequence[Experiment],
    train: Any,
    refresh: Any,
) -> dg.SensorDefinition:
    """The sensor of all experiments that say `retrain`.

    Parameters
    ----------
    train, refresh : the jobs of trainings, and of what is stale of a plate.
    """

    @dg.sensor(
        name=RETRAIN,
        jobs=[train, refresh],
        minimum_interval_seconds=settings.every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Trains again when plates of the split are finished that the model does not know: "
        + "; ".join(f"{e.name}: {e.least_new_plates} or more" for e in experiments),
    )
    def retraining(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        asked = _remembered(context.cursor)
        requests: list[dg.RunRequest] = []
        reasons: list[str] = []
        repository = context.repository_def
        assert repository is not None
        for experiment in experiments:
            before = asked.get(experiment.name, Asked())
            try:
                plates = split_plates(experiment, project, context.instance)
            except ProjectError as error:
                reasons.append(f"{experiment.name}: {error}")
                continue
            now, training, why_not = decide(experiment, plates, before, context.instance)
            if training is not None:
                requests.append(training)
            else:
                reasons.append(f"{experiment.name}: {why_not}")
            version = _version(context.instance, dg.AssetKey([experiment.name, "trained_model"]))
            if version and version != now.model:
                staleness = Staleness(context.instance, repository.asset_graph)
                requests += _features(experiment, version, staleness, context.instance)
                now = replace(now, model=version)
            asked[experiment.name] = now
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else "; ".join(reasons),
            cursor=json.dumps({name: asdict(value) for name, value in asked.items()}, sort_keys=True),
        )

    return retraining


def _remembered(cursor: str | None) -> dict[str, Asked]:
    try:
        return {name: Asked(**facts) for name, facts in json.loads(cursor or "{}").items()}
    except (AttributeError, TypeError, ValueError):
        return {}


def split_plates(experiment: Experiment, project: ProjectResource, instance: DagsterInstance) -> SplitPlates:
    """The plates of the split as they stand; none before the index is registered."""
    settings = experiment.training()
    partition = partition_of(settings)
    try:
        path = project.path(("image_index",), None, ".parquet")
        index = read_table(path, [PLATE, partition.split_field])
    except FileNotFoundError:
        return SplitPlates((), (), ())
    rows = zip(*(index[name].to_pylist() for name in (PLATE, partition.split_field)), strict=True)
    plates = dict.fromkeys(plate for plate, value in rows if partition.split_of(value))
    needed = [ANNOTATIONS, *(dg.AssetKey(list(path)) for path in supply_assets(settings).values())]
    made = [instance.get_materialized_partitions(key) for key in needed]
    ready = tuple(plate for plate in plates if all(plate in found for found in made))
    try:
        known = ModelFolder.open(project.path((experiment.name, "trained_model"))).card.plates
    except FileNotFoundError:
        known = ()
    return SplitPlates(ready, tuple(plate for plate in plates if plate not in ready), known)


def decide(
    experiment: Experiment, plates: SplitPlates, asked: Asked, instance: DagsterInstance
) -> tuple[Asked, dg.RunRequest | None, str]:
    """Whether to train now: what to remember, the run, or why there is none."""
    least = experiment.least_new_plates
    assert least is not None
    if len(plates.new) < least:
        return asked, None, f"{len(plates.new)} new plates of the split, {least} start a training"
    if plates.unfinished:
        return (
            asked,
            None,
            f"waits for the plates of the split that are not finished: {', '.join(plates.unfinished)}",
        )
    wanted = fingerprint(sorted(plates.ready))
    attempts = 1
    if asked.number:
        record = latest_of(instance, asked.run_key(experiment.name), RETRAIN)
        outcome = outcome_of_run(instance, record.dagster_run) if record else Outcome.UNKNOWN
        if outcome is Outcome.GOING_ON:
            return asked, None, "a training has not ended"
        if wanted == asked.plates:
            ended = (record.end_time or 0.0) if record else 0.0
            if why_not := _why_not_again(outcome, ended, asked.attempts):
                return asked, None, why_not
            attempts = asked.attempts if outcome is Outcome.MET_ANOTHER else asked.attempts + 1
    keys = [dg.AssetKey([experiment.name, name]) for name in ("training_set", "trained_model")]
    if _is_at_work(instance, keys[-1]):
        # Of a command, say. Another one would find it at work, and fail.
        return asked, None, "another run is training"
    asked = replace(asked, plates=wanted, number=asked.number + 1, attempts=attempts)
    request = dg.RunRequest(
        run_key=asked.run_key(experiment.name),
        job_name=RETRAIN_JOB,
        asset_selection=keys,
        tags={STARTED_BY: RETRAIN, "dp/new_plates": str(len(plates.new))},
    )
    return asked, request, ""


def _why_not_again(outcome: Outcome, ended: float, attempts: int) -> str:
    """Why a training is not repeated now that ended like this (at `ended`, seconds); empty when it is."""
    if not outcome.says_nothing:
        return f"was trained with these plates: {outcome.value}"
    if outcome is Outcome.MET_ANOTHER:
        lately = 0 <= time.time() - ended < SECONDS_AFTER_MEETING
        return f"the training is requested again in an hour: {outcome.value}" if lately else ""
    if attempts >= MOST_ATTEMPTS:
        return f"{attempts} trainings came to nothing (of the last: {outcome.value}); start one by hand"
    return ""


def _is_at_work(instance: DagsterInstance, key: dg.AssetKey) -> bool:
    """Whether a run that is to make an asset goes on: any, since a later one may have met it and ended.

    Of runs that ended and are started again the latest is looked at only.
    """
    unfinished = instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
    if any(_makes(instance, run, key) and _will_go_on(instance, run) for run in unfinished):
        return True
    planned = instance.event_log_storage.get_latest_planned_materialization_info(key)
    latest = instance.get_run_by_id(planned.run_id) if planned is not None else None
    return latest is not None and starts_again(latest)


def _makes(instance: DagsterInstance, run: dg.DagsterRun, key: dg.AssetKey) -> bool:
    """Whether a run is to make an asset; runs of a whole job say so in their events only."""
    if run.asset_selection is not None:
        return key in run.asset_selection
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    return any(entry.dagster_event is not None and entry.dagster_event.asset_key == key for entry in entries)


def _will_go_on(instance: DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether an unfinished run has a process, or will have one.

    A command that was killed before its run began leaves it as not started for good: nobody looks for it.
    """
    if run.status is not dg.DagsterRunStatus.NOT_STARTED or run.remote_job_origin is not None:
        return True
    return mark_of(instance, run.run_id).held is Held.YES


def _features(
    experiment: Experiment, version: str, staleness: Staleness, instance: DagsterInstance
) -> Iterator[dg.RunRequest]:
    """A run for every plate whose features another model made."""
    keys = [dg.AssetKey([experiment.name, name]) for name in OF_A_PLATE]
    for plate in sorted(instance.get_materialized_partitions(keys[0])):
        stale = staleness.stale(keys, plate)
        if stale:
            yield dg.RunRequest(
                run_key=f"{experiment.name} {version} {plate}",
                job_name="refresh",
                partition_key=plate,
                asset_selection=list(stale),
                tags={STARTED_BY: RETRAIN},
            )


def _version(instance: DagsterInstance, key: dg.AssetKey) -> str:
    """The data version of an asset without partitions; empty when it was never made."""
    event = instance.get_latest_materialization_event(key)
    made = event.asset_materialization if event is not None else None
    return (made.tags or {}).get("dagster/data_version", "") if made is not None else ""
