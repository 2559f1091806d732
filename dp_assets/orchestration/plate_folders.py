"""The result of an asset that publishes a folder per plate: made when something changed, kept otherwise."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import dagster as dg

from dp_assets.config.errors import StoreError
from dp_assets.orchestration.outputs import FolderOutput, Metadata, unchanged
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import failure_table, sites_check, stored_failures
from dp_assets.orchestration.stage_config import StageConfig
from dp_assets.storage.folders import Folder, FolderWriter


def plate_folder_result(
    context: dg.AssetExecutionContext,
    config: StageConfig,
    project: ProjectResource,
    content: str,
    make: Callable[[Folder | None], FolderWriter],
    describe: Callable[[Folder], Metadata],
    judge: Callable[[Mapping[str, Any]], dg.AssetCheckResult],
) -> dg.MaterializeResult:
    """Make the folder unless the published one was made from the same things.

    Parameters
    ----------
    content : fingerprint of what the folder is made from. The data version is that of what was made: another
        one when sites had to be left out.
    make : does the work in the asset's work folder, which stays locked until the folder is published. It is
        given the published folder, to take over sites of which nothing has changed; None when there is none,
        and with `force`.
    describe : metadata made from the published folder.
    judge : the stage's own check, made from the manifest.
    """
    writer = None
    with ExitStack() as held:
        if config.force or not project.is_current(context, "", content):
            held.enter_context(project.work(context).locked())
            writer = make(None if config.force else _published(context, project))
        manifest = writer.facts if writer else project.published_folder(context).manifest
        failures = stored_failures(manifest["failures"])
        recomputed = unchanged(writer is not None)
        checks = [sites_check(failures), judge(manifest)]
        return dg.MaterializeResult(
            value=FolderOutput(
                writer,
                lambda folder: {**describe(folder), **recomputed, **failure_table(failures)},
                held=held.pop_all(),
            ),
            data_version=dg.DataVersion(writer.fingerprint if writer else content),
            check_results=checks,
        )


def _published(context: dg.AssetExecutionContext, project: ProjectResource) -> Folder | None:
    """The published folder; None when there is none that can be read."""
    try:
        return project.published_folder(context)
    except (FileNotFoundError, StoreError):
        return None
