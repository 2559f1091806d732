"""Putting a project's assets, jobs, resources and executor together."""

import logging
import os
from pathlib import Path
from typing import Any

import dagster as dg

from dp_assets.config.errors import describe
from dp_assets.config.overrides import Overrides
from dp_assets.config.project import Project, ProjectSettings, load_project
from dp_assets.orchestration.accelerator_resource import AcceleratorResource
from dp_assets.orchestration.automation.wiring import automation_of
from dp_assets.orchestration.instance import wait_for_locked_records
from dp_assets.orchestration.io_managers import io_managers
from dp_assets.orchestration.jobs import stage_jobs
from dp_assets.orchestration.lanes import ProjectGraph, project_graph
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.run_executor import marking_in_process_executor

PROJECT_VARIABLE = "DP_PROJECT"
DEFAULT_PROJECT = "project"

logger = logging.getLogger(__name__)


def project_folder() -> Path:
    """The project: `$DP_PROJECT`, else the current folder when it holds `inputs/`, else `./project`."""
    named = os.environ.get(PROJECT_VARIABLE)
    if named:
        return Path(named).resolve()
    here = Path.cwd()
    return here if (here / "inputs").is_dir() else here / DEFAULT_PROJECT


def build_defs(project: Path | str, **overrides: Any) -> dg.Definitions:
    """The definitions of a project.

    Parameters
    ----------
    project : the project folder; it may be empty or not there yet, then only `image_index` exists.
    overrides : resources by key (`project`, `accelerator`, `table_io`, ...) in place of the usual ones.

    Raises
    ------
    ConfigurationError : `project.yaml` is wrong. Wrong experiment files are logged, and only their lanes are
        missing.
    """
    # Runs of Dagster's own commands and services load the definitions before anything else.
    wait_for_locked_records()
    root = Path(project).resolve()
    loaded = (
        load_project(root, overrides=Overrides.from_environment(os.environ))
        if root.is_dir()
        else Project(root, ProjectSettings())
    )
    graph = project_graph(loaded)
    for name, problems in graph.missing.items():
        logger.warning("experiment %s has no assets: %s", name, describe(problems))
    return definitions_of(loaded, graph, **overrides)


def definitions_of(project: Project, graph: ProjectGraph, **overrides: Any) -> dg.Definitions:
    """The definitions of a loaded project and its graph; `overrides` as for `build_defs`."""
    resource = ProjectResource.of(project)
    resources: dict[str, Any] = {
        "project": resource,
        "accelerator": AcceleratorResource(),
        **io_managers(resource.root, resource.store, resource.cache_settings),
        **overrides,
    }
    automation = automation_of(project, graph)
    return dg.Definitions(
        assets=automation.assets,
        jobs=[*stage_jobs(graph), *automation.jobs],
        sensors=automation.sensors,
        schedules=automation.schedules,
        resources=resources,
        executor=marking_in_process_executor,
    )
