"""Everything of a project that runs by itself, put together."""

from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from dp_assets.config.project import Project
from dp_assets.orchestration.automation.conditions import nightly_sensor, with_conditions
from dp_assets.orchestration.automation.failures import Failure, failures_sensor, now
from dp_assets.orchestration.automation.new_plates import new_plates_sensor
from dp_assets.orchestration.automation.notification import notifiers, pass_on
from dp_assets.orchestration.automation.rechecking import recheck_jobs, recheck_schedule, stale_sensor
from dp_assets.orchestration.automation.retraining import retrain_job, retraining_sensor
from dp_assets.orchestration.lanes import ProjectGraph
from dp_assets.orchestration.project_resource import ProjectResource


@dataclass(frozen=True)
class Automation:
    """What a code location gets of the automation."""

    assets: list[dg.AssetsDefinition]
    jobs: list[Any] = field(default_factory=list)
    sensors: list[dg.SensorDefinition] = field(default_factory=list)
    schedules: list[dg.ScheduleDefinition] = field(default_factory=list)


def automation_of(project: Project, graph: ProjectGraph) -> Automation:
    """What runs by itself in a project, as its `project.yaml` says."""
    settings = project.settings.automation
    lanes = [project.experiments[name] for name in graph.lanes]
    made = Automation(with_conditions(graph, settings, lanes))

    def tell(failure: Failure) -> list[str]:
        return pass_on(failure, ways, project.root / settings.notify.log)

    ways = notifiers(project.root, settings.notify)
    made.sensors.append(failures_sensor(settings, tell))
    if settings.nightly:
        made.sensors.append(nightly_sensor(settings))
    plate_jobs = recheck_jobs(graph)
    made.jobs.extend(plate_jobs)
    if settings.weekly and plate_jobs:
        made.schedules.append(recheck_schedule(ProjectResource.of(project), settings, settings.weekly))
        made.sensors.append(stale_sensor(settings, graph, *plate_jobs))
    retrained = [experiment for experiment in lanes if experiment.least_new_plates is not None]
    if retrained and plate_jobs:
        train = retrain_job(retrained)
        made.jobs.append(train)
        refresh = plate_jobs[1]
        made.sensors.append(
            retraining_sensor(ProjectResource.of(project), settings, retrained, train, refresh)
        )
    if "index" in graph.stages:
        images = project.reference.sections.images.settings if project.reference is not None else None
        channels = images.channels if images is not None else ()
        made.sensors.append(
            new_plates_sensor(
                ProjectResource.of(project),
                settings,
                channels,
                lambda part, why: tell(Failure(now(), f"{part} is not taken into the index", why)),
            )
        )
    return made
