"""Looking at finished plates again: whether their files have changed, and what has to be made anew then.

Files are no assets, so nothing tells that one has changed. The schedule makes what is read from files anew,
which costs one look at every file; data versions are fingerprints of content, so nothing becomes stale unless
something is different. What has become stale is requested by a sensor, plate by plate.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from dp_assets.config.automation import AutomationSettings
from dp_assets.orchestration.automation.names import RECHECK, STALE, STARTED_BY
from dp_assets.orchestration.automation.staleness import Staleness
from dp_assets.orchestration.lanes import ProjectGraph
from dp_assets.orchestration.partitions import PLATES
from dp_assets.orchestration.project_resource import ProjectResource

READ_FROM_FILES = ("plate_images", "plate_annotations", "cell_locations", "plate_outlines")
RECHECK_JOB = "recheck"
REFRESH_JOB = "refresh"


def plate_keys(graph: ProjectGraph) -> list[dg.AssetKey]:
    """All assets with a partition per plate."""
    return [key for asset in graph.assets if asset.partitions_def is not None for key in asset.keys]


def recheck_jobs(graph: ProjectGraph) -> list[Any]:
    """The job that looks at a plate's files, and the one that makes anew what is stale; or none."""
    everything = plate_keys(graph)
    files = [key for key in everything if key.to_user_string() in READ_FROM_FILES]
    if not files:
        return []
    return [
        dg.define_asset_job(
            RECHECK_JOB,
            selection=dg.AssetSelection.assets(*files),
            description="Look at a plate's files again: what is read from them, not what is made of it.",
        ),
        dg.define_asset_job(
            REFRESH_JOB,
            selection=dg.AssetSelection.assets(*everything),
            description="Make anew what is stale of a plate. The sensor that starts it names the assets.",
        ),
    ]


def recheck_schedule(
    project: ProjectResource, settings: AutomationSettings, cron: str
) -> dg.ScheduleDefinition:
    """The schedule that has the files of every plate looked at that was read before and is in the index."""

    @dg.schedule(
        name=RECHECK,
        job_name=RECHECK_JOB,
        cron_schedule=cron,
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Looks at the files of every finished plate again; what has changed is made anew.",
    )
    def weekly_recheck(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        done = context.instance.get_materialized_partitions(dg.AssetKey(READ_FROM_FILES[0]))
        listed = project.listed_plates()
        known = context.instance.get_dynamic_partitions(PLATES)
        chosen = [plate for plate in known if plate in done and (listed is None or plate in listed)]
        if not chosen:
            yield dg.SkipReason("no plate has been read yet")
        for plate in chosen:
            yield dg.RunRequest(
                run_key=f"{context.scheduled_execution_time.isoformat()} {plate}",
                partition_key=plate,
                tags={STARTED_BY: RECHECK},
            )

    return weekly_recheck


def stale_sensor(
    settings: AutomationSettings, graph: ProjectGraph, recheck_job: Any, refresh_job: Any
) -> dg.SensorDefinition:
    """The sensor that requests what is stale of a plate whose files have been looked at."""
    keys = plate_keys(graph)

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name=STALE,
        monitored_jobs=[recheck_job],
        request_job=refresh_job,
        minimum_interval_seconds=settings.every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes anew what is stale of a plate after its files have been looked at.",
    )
    def stale_results(
        context: dg.RunStatusSensorContext,
    ) -> dg.RunRequest | dg.SkipReason:
        plate = context.dagster_run.tags["dagster/partition"]
        repository = context.repository_def
        assert repository is not None
        stale = Staleness(context.instance, repository.asset_graph).stale(keys, plate)
        if not stale:
            return dg.SkipReason(f"everything of {plate} is current")
        return dg.RunRequest(
            run_key=context.dagster_run.run_id,
            partition_key=plate,
            asset_selection=list(stale),
            tags={STARTED_BY: STALE},
        )

    return stale_results
