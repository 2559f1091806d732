"""Doing a backfill in this process: a plate that fails keeps none of the others from being made."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import dagster as dg
import pyarrow as pa
from dagster import DagsterInstance
from rich.console import Console
from rich.markup import escape

from dp_assets.config.errors import ProjectError
from dp_assets.config.project import Project, load_project
from dp_assets.orchestration.automation.backfill_plan import Kind, Planner, Wanted, dry_plan
from dp_assets.orchestration.automation.backfill_table import print_plan
from dp_assets.orchestration.automation.index_changes import INDEX, index_change
from dp_assets.orchestration.automation.staleness import Staleness
from dp_assets.orchestration.code_location import definitions_of
from dp_assets.orchestration.instance import opened_instance, shadow_of_records
from dp_assets.orchestration.lanes import project_graph
from dp_assets.orchestration.lost_runs import lost_runs
from dp_assets.orchestration.progress import listening
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.project_setup import INSTANCE_FILE
from dp_assets.orchestration.run_display import Display
from dp_assets.orchestration.stage_runner import (
    HOME_VARIABLE,
    StageOutcome,
    project_instance,
    require_experiments,
    run_stage,
)
from dp_assets.storage.index_file import read_index
from dp_assets.storage.layout import ProjectLayout
from dp_assets.storage.schemas import PLATE


def backfill(
    root: Path,
    kinds: Sequence[Kind],
    plate_names: Sequence[str],
    experiments: Sequence[str],
    *,
    dry_run: bool,
    verbose: bool,
    console: Console,
) -> bool:
    """Show what is missing, failed or stale, and make it; returns whether all of it was made.

    Parameters
    ----------
    plate_names : these plates only, and nothing that is made of all plates; empty for everything.
    experiments : names of lanes; empty for all.
    dry_run : show only. Nothing is written.

    Raises
    ------
    ProjectError : an unknown experiment or plate, or an index that cannot be read.
    """
    project = load_project(root.resolve())
    graph = project_graph(project)
    defs = definitions_of(project, graph)
    require_experiments(graph, experiments)
    resource = ProjectResource.of(project)
    index = _index(project, resource, "index" in graph.stages)
    plates = _plates(index, plate_names)
    planner = Planner(project, graph, defs.resolve_asset_graph(), resource, kinds, experiments, index)
    with looking_on(root) if dry_run else project_instance(root) as instance:
        # None are left where the instance was opened to work in it.
        planner.lost = {run.run_id for run in lost_runs(instance)}
        outcomes = []
        changed = "index" in graph.stages and index_change(index, resource)
        first = [Wanted("index", INDEX, None, *changed)] if changed else []
        if first and not dry_run:
            # plates are registered before anything can be made of them
            print_plan(first, console)
            outcomes += _run(defs, instance, first, verbose=verbose, console=console)
            if not outcomes[-1].succeeded:
                return False
            first = []
        if "stale" in kinds or "failed" in kinds:
            with console.status("looking at files") if console.is_terminal else nullcontext():
                for plate in plates:
                    planner.look_at_files(plate)
        plan = dry_plan(planner, instance, plates, only_plates=bool(plate_names))
        print_plan([*first, *plan], console)
        if dry_run:
            return True
        outcomes += _make(planner, plan, defs, instance, verbose=verbose, console=console)
    return all(outcome.succeeded for outcome in outcomes)


@contextmanager
def looking_on(root: Path) -> Iterator[DagsterInstance]:
    """The project's instance, to be read only; an empty one where there is none yet. Nothing is written."""
    home = Path(os.environ.get(HOME_VARIABLE) or ProjectLayout.of(root).dagster_home).resolve()
    if not (home / INSTANCE_FILE).exists():
        with DagsterInstance.ephemeral() as instance:
            yield instance
        return
    with shadow_of_records(home) as place, opened_instance(place) as instance:
        yield instance


def _index(project: Project, resource: ProjectResource, has_index: bool) -> pa.Table:
    images = project.reference.sections.images.settings if project.reference is not None else None
    if not has_index:
        return pa.table({PLATE: pa.array([], pa.string())})
    return read_index(resource.index_location(), images.channels if images is not None else ())


def _plates(index: pa.Table, names: Sequence[str]) -> list[str]:
    listed = index[PLATE].unique().to_pylist()
    unknown = [name for name in names if name not in listed]
    if unknown:
        raise ProjectError(
            f"unknown plates: {', '.join(unknown)}; the index lists: {', '.join(listed) or 'none'}",
            where="--plates",
            remedy="correct the names, or add the plates to the index",
        )
    return list(names) or listed


def _make(
    planner: Planner,
    plan: Sequence[Wanted],
    defs: dg.Definitions,
    instance: DagsterInstance,
    *,
    verbose: bool,
    console: Console,
) -> list[StageOutcome]:
    """Make what was planned; of every stage, when its turn comes, only what still is to be made.

    What came out as it was before leaves what is made of it as it is.
    """
    outcomes: list[StageOutcome] = []
    asked = {wanted.made for wanted in plan}
    for stage, plate in dict.fromkeys((wanted.stage, wanted.plate) for wanted in plan):
        wanted = [one for one in planner.wanted(instance, stage, plate) if one.made in asked]
        possible = _possible(wanted, Staleness(instance, planner.assets), planner, instance)
        for one in wanted:
            if one not in possible:
                name = f"{one.key.to_user_string()} {plate or ''}".strip()
                console.print(f"[yellow]-[/yellow] {escape(name)} waits for what it is made of")
                outcomes.append(StageOutcome(stage, plate, False, 0.0))
        if possible:
            outcomes += _run(defs, instance, possible, verbose=verbose, console=console)
    return outcomes


def _possible(
    wanted: Sequence[Wanted], staleness: Staleness, planner: Planner, instance: DagsterInstance
) -> list[Wanted]:
    """Of what is wanted of a plate that which has everything it is made of, or gets it in the same run."""
    found: list[Wanted] = []
    for one in wanted:
        made_now = {other.key for other in found}
        parents = [key for key in staleness.parents(one.key) if key not in made_now]
        if all(_is_there(key, one.plate, staleness, planner, instance) for key in parents):
            found.append(one)
    return found


def _is_there(
    key: dg.AssetKey, plate: str | None, staleness: Staleness, planner: Planner, instance: DagsterInstance
) -> bool:
    if planner.assets.get(key).partitions_def is None:
        return not staleness.is_missing(key, None)
    if plate is None:
        return bool(instance.get_materialized_partitions(key))
    return not staleness.is_missing(key, plate)


def _run(
    defs: dg.Definitions,
    instance: DagsterInstance,
    wanted: Sequence[Wanted],
    *,
    verbose: bool,
    console: Console,
) -> list[StageOutcome]:
    stage, plate = wanted[0].stage, wanted[0].plate
    keys = [one.key for one in wanted]
    with Display(console) as display, listening(display.update):
        display.begin(stage, plate)
        outcome = run_stage(defs, instance, keys, stage, plate, force=False, verbose=verbose)
        display.end(outcome)
    return [outcome]
