"""Materializing stages from the command line: the same assets, instance and records as in the Dagster UI."""

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterInstance

from dp_assets.config.errors import ConfigurationError, ProjectError
from dp_assets.config.inheritance import merged
from dp_assets.orchestration.gpu_pool import give_each_device_a_place
from dp_assets.orchestration.instance import opened_instance
from dp_assets.orchestration.jobs import PLATE_STAGES
from dp_assets.orchestration.lanes import ProjectGraph
from dp_assets.orchestration.live_runs import live
from dp_assets.orchestration.lost_runs import release_lost_runs
from dp_assets.orchestration.partitions import PLATES
from dp_assets.orchestration.project_setup import INSTANCE_FILE, set_up_project
from dp_assets.storage.layout import ProjectLayout

STAGES = ("index", "prepare", "export_single_cells", "train", "profile", "evaluate")
HOME_VARIABLE = "DAGSTER_HOME"


@dataclass(frozen=True)
class StageOutcome:
    """How one run ended.

    Attributes
    ----------
    stage, plate : what was run; plate is None for stages without partitions.
    succeeded : whether every asset was made.
    seconds : wall-clock time.
    messages : for every asset that failed, its message.
    failed_checks : checks that did not pass, with what they found.
    """

    stage: str
    plate: str | None
    succeeded: bool
    seconds: float
    messages: tuple[str, ...] = ()
    failed_checks: tuple[str, ...] = ()


@contextmanager
def project_instance(root: Path, *, serving: bool = False) -> Iterator[DagsterInstance]:
    """The project's own Dagster instance, or the one that $DAGSTER_HOME names; without runs that were killed.

    Parameters
    ----------
    serving : this process launches its runs from now on (see `gpu_pool`).

    Raises
    ------
    ConfigurationError : $DAGSTER_HOME is not a folder, or its `dagster.yaml` is wrong.
    StoreError : its records are damaged, or in use by another program for long.
    """
    named = os.environ.get(HOME_VARIABLE)
    home = Path(named or ProjectLayout.of(root).dagster_home).resolve()
    if not named and not (home / INSTANCE_FILE).exists():
        set_up_project(root)
    if not home.is_dir():
        raise ConfigurationError(
            f"there is no folder {home}",
            where=f"${HOME_VARIABLE}",
            remedy="make it, or unset the variable to use the project's own Dagster instance",
        )
    with opened_instance(home) as instance:
        release_lost_runs(instance)
        give_each_device_a_place(instance, serving=serving)
        yield instance


def registered_plates(instance: DagsterInstance) -> list[str]:
    """The plates that image_index has registered, in order."""
    return list(instance.get_dynamic_partitions(PLATES))


def choose_plates(
    instance: DagsterInstance, wanted: Sequence[str] | None, listed: set[str] | None = None
) -> list[str]:
    """The plates asked for; otherwise all that are registered and (when that is known) listed in the index.

    Raises
    ------
    ProjectError : no plate is registered, or one that was asked for is not.
    """
    known = registered_plates(instance)
    if not known:
        raise ProjectError(
            "no plates are registered",
            where="image_index",
            remedy="list plates in inputs/metadata/index.csv and run the stage `index`",
        )
    if not wanted:
        return [plate for plate in known if listed is None or plate in listed]
    unknown = [plate for plate in wanted if plate not in known]
    if unknown:
        raise ProjectError(
            f"unknown plates: {', '.join(unknown)}; registered are: {', '.join(known) or 'none'}",
            where="--plates",
            remedy="correct the names, or add the plates to the index and run the stage `index`",
        )
    return list(wanted)


def require_experiments(graph: ProjectGraph, lanes: Sequence[str]) -> None:
    """Raise ConfigurationError when an experiment does not exist; it says why a lane is missing, if known."""
    unknown = [name for name in lanes if name not in graph.lanes]
    if unknown:
        broken = "; ".join(f"{file}: {problems[0].what}" for file, problems in graph.missing.items())
        raise ConfigurationError(
            f"there is no experiment {', '.join(unknown)}; "
            f"there are: {', '.join(sorted(graph.lanes)) or 'none'}",
            where="--experiment",
            remedy="use the name of a file in inputs/config without its ending"
            + (f" (not usable: {broken})" if broken else ""),
        )


def stage_keys(graph: ProjectGraph, stage: str, experiments: Sequence[str]) -> list[dg.AssetKey]:
    """The assets of a stage, of all experiments, or those that some experiments need."""
    keys = graph.stages.get(stage, [])
    if not experiments:
        return list(keys)
    wanted = {key for name in experiments for key in graph.lanes[name].get(stage, [])}
    return [key for key in keys if key in wanted]


def run_stage(
    defs: dg.Definitions,
    instance: DagsterInstance,
    keys: Sequence[dg.AssetKey],
    stage: str,
    plate: str | None,
    *,
    force: bool,
    verbose: bool,
    run_config: Mapping[str, Any] | None = None,
) -> StageOutcome:
    """Materialize assets in this process and say how it went.

    Parameters
    ----------
    run_config : of Dagster, such as a file of `configs/runs`; what the run needs by itself is added to it.
    """
    started = time.monotonic()
    job = defs.resolve_implicit_global_asset_job_def()
    run_id = str(uuid.uuid4())
    with live(instance, run_id):
        result = job.execute_in_process(
            run_config=merged(run_config or {}, _run_config(defs, keys, force, verbose)),
            instance=instance,
            asset_selection=list(keys),
            partition_key=plate,
            raise_on_error=False,
            run_id=run_id,
            tags={"dp/stage": stage},
        )
    messages = tuple(failure_message(event) for event in result.all_events if event.is_step_failure)
    failed = tuple(
        f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name} ({_found(evaluation)})"
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    )
    return StageOutcome(stage, plate, result.success, time.monotonic() - started, messages, failed)


def _run_config(defs: dg.Definitions, keys: Sequence[dg.AssetKey], force: bool, verbose: bool) -> dict:
    config: dict = {"loggers": {"console": {"config": {"log_level": "INFO" if verbose else "CRITICAL"}}}}
    if force:
        graph = defs.resolve_asset_graph()
        chosen = [asset for asset in graph.assets_defs if set(asset.keys) & set(keys)]
        forced = {asset.op.name: {"config": {"force": True}} for asset in chosen if _can_be_forced(asset)}
        config["ops"] = forced
    return config


def _can_be_forced(asset: dg.AssetsDefinition) -> bool:
    """Whether the asset takes a StageConfig; tables that are written anyway do not."""
    return "force" in (getattr(asset.op.config_schema.config_type, "fields", None) or {})


def failure_message(event: dg.DagsterEvent) -> str:
    """What a user did wrong; else what the program did (Dagster wraps it in an error of its own)."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    if error is None:
        return str(event.message)
    if error.cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt"):
        return "interrupted\n    -> run the same command again: finished work is kept"
    if error.cls_name == "DagsterAssetCheckFailedError":
        named = ", ".join(line.strip() for line in error.message.strip().splitlines()[1:])
        return f"stopped by a blocking check: {named}\n    -> do what the line of this check says"
    return f"{error.message.strip()}\n    -> no mistake that is known: see --verbose, and report it"


def _found(evaluation: dg.AssetCheckEvaluation) -> str:
    shown = [
        f"{name}: {value.value}"
        for name, value in evaluation.metadata.items()
        if not isinstance(value, dg.TableMetadataValue | dg.MarkdownMetadataValue)
    ]
    return ", ".join(shown)


def plan_runs(stages: Sequence[str], chosen: Callable[[], Sequence[str]]) -> Iterator[tuple[str, str | None]]:
    """(stage, plate) in the order of work; plates are chosen when a plate stage comes, after the index."""
    for stage in stages:
        if stage in PLATE_STAGES:
            for plate in chosen():
                yield stage, plate
        else:
            yield stage, None
