"""Records in an instance as runs leave them, without running anything."""

import dagster as dg
from dagster import DagsterInstance
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventType,
    StepFailureData,
)
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
from dagster_shared.error import SerializableErrorInfo

from dp_assets.config.errors import AtWorkError

PLATES = ("TINY00001", "TINY00002")
ORIGIN = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("dp_assets"), "repository").get_job_origin(
    "prepare"
)


def key(name: str) -> dg.AssetKey:
    """An asset key with slashes."""
    return dg.AssetKey(name.split("/"))


def register(instance: DagsterInstance, *plates: str) -> None:
    """Plates, and the index that lists them."""
    instance.add_dynamic_partitions("plates", list(plates))
    made(instance, "image_index")


def made(instance: DagsterInstance, name: str, *plates: str, version: str = "1") -> None:
    """An asset, or plates of it, as made."""
    tags = {"dagster/data_version": version}
    for plate in plates or (None,):
        event = dg.AssetMaterialization(key(name), partition=plate, tags=tags)
        instance.report_runless_asset_event(event)


def planned_run(
    instance: DagsterInstance,
    names: tuple[str, ...],
    plate: str | None,
    status: DagsterRunStatus,
    *,
    launched: bool = False,
    selected: bool = True,
    **tags: str,
) -> dg.DagsterRun:
    """A run that was to make some assets and ended, or has not; it says nothing about why.

    Parameters
    ----------
    launched : by Dagster, which knows where it comes from; else by a command.
    selected : of some assets; else of the whole job.
    """
    partition = {"dagster/partition": plate} if plate else {}
    keys = [key(name) for name in names]
    run = create_run_for_test(
        instance,
        job_name="prepare",
        tags={**partition, **tags},
        asset_selection=frozenset(keys) if selected else None,
        remote_job_origin=ORIGIN if launched else None,
    )
    for asset in keys:
        event = DagsterEvent.build_asset_materialization_planned_event(
            run.job_name,
            "__".join(asset.path),
            AssetMaterializationPlannedData(asset, partition=plate),
        )
        instance.report_dagster_event(event, run.run_id)
    if status == DagsterRunStatus.FAILURE:
        instance.report_run_failed(run)
    elif status == DagsterRunStatus.STARTED:
        instance.report_dagster_event(
            DagsterEvent(DagsterEventType.RUN_START.value, run.job_name), run.run_id
        )
    elif status == DagsterRunStatus.SUCCESS:
        instance.report_dagster_event(
            DagsterEvent(DagsterEventType.RUN_SUCCESS.value, run.job_name), run.run_id
        )
    return run


def met_another(instance: DagsterInstance, names: tuple[str, ...], plate: str | None, **tags: str) -> None:
    """A run that failed at once, since another one was at work on its first asset."""
    run = planned_run(instance, names, plate, DagsterRunStatus.NOT_STARTED, **tags)
    error = SerializableErrorInfo("so it was", [], AtWorkError.__name__)
    data = StepFailureData(
        error=SerializableErrorInfo("so it was", [], "Failure", error), user_failure_data=None
    )
    step = "__".join(key(names[0]).path)
    failed = DagsterEvent(
        DagsterEventType.STEP_FAILURE.value, run.job_name, step_key=step, event_specific_data=data
    )
    instance.report_dagster_event(failed, run.run_id)
    instance.report_run_failed(run)
