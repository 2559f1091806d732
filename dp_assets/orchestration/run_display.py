"""Running stages with a progress display: one line per plate and stage, and the message of what failed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.overrides import Overrides
from dp_assets.config.project import load_project
from dp_assets.orchestration.code_location import definitions_of
from dp_assets.orchestration.lanes import project_graph
from dp_assets.orchestration.progress import listening
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.stage_runner import (
    StageOutcome,
    choose_plates,
    plan_runs,
    project_instance,
    require_experiments,
    run_stage,
    stage_keys,
)

CHECKS_SHOWN = 8


def run_stages(
    root: Path,
    stages: Sequence[str],
    plate_names: Sequence[str] | None,
    experiments: Sequence[str],
    *,
    overrides: Overrides | None = None,
    run_config: Mapping[str, Any] | None = None,
    force: bool,
    verbose: bool,
    console: Console,
) -> list[StageOutcome]:
    """Run stages in order for all or some plates, showing progress; stops after a stage that failed.

    Parameters
    ----------
    experiments : names of lanes; empty for all.
    overrides : keys of experiments set for this run.
    run_config : Dagster's, such as a file of `configs/runs`.

    Raises
    ------
    ProjectError : an unknown experiment or plate, or no configuration describes any of the stages.
    """
    project = load_project(root.resolve(), overrides=overrides)
    graph = project_graph(project)
    defs = definitions_of(project, graph)
    _say_what_is_missing(graph.missing, console)
    require_experiments(graph, experiments)
    keys = {stage: stage_keys(graph, stage, experiments) for stage in stages}
    if not any(keys.values()):
        raise ConfigurationError(
            f"no experiment describes the stage {', '.join(stages)}",
            where=str(root / "inputs" / "config"),
            remedy="add an experiment (see configs/experiments), or correct those `dp-assets doctor` names",
        )
    if idle := [stage for stage in stages if not keys[stage]]:
        console.print(f"[yellow]no experiment describes:[/yellow] {', '.join(idle)}")
    resource = ProjectResource.of(project)
    outcomes: list[StageOutcome] = []
    with project_instance(root) as instance, Display(console) as display, listening(display.update):
        described = [stage for stage in stages if keys[stage]]
        for stage, plate in plan_runs(
            described, lambda: choose_plates(instance, plate_names, resource.listed_plates())
        ):
            if any(not done.succeeded and done.stage != stage for done in outcomes):
                break
            display.begin(stage, plate)
            outcome = run_stage(
                defs,
                instance,
                keys[stage],
                stage,
                plate,
                force=force,
                verbose=verbose,
                run_config=run_config,
            )
            display.end(outcome)
            outcomes.append(outcome)
    if graph.missing and not experiments:
        # Somebody asked for these stages; only an experiment that is left out could have described them.
        outcomes += [StageOutcome(stage, None, False, 0.0) for stage in idle]
    return outcomes


def _say_what_is_missing(missing: dict, console: Console) -> None:
    for name, problems in missing.items():
        console.print(f"[yellow]experiment {name} is left out:[/yellow]")
        for problem in problems:
            console.print(f"    {escape(str(problem))}")


class Display:
    """A progress bar for the asset at work, and a lasting line for every run that ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def begin(self, stage: str, plate: str | None) -> None:
        """A run begins."""
        self._tasks["run"] = self._progress.add_task(f"[bold]{stage}[/bold] {plate or ''}", total=None)

    def update(self, what: str, done: int, total: int) -> None:
        """An asset has come so far."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(f"  {what}", total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)  # type: ignore[arg-type]

    def end(self, outcome: StageOutcome) -> None:
        """A run ended: its line stays."""
        for task in self._tasks.values():
            self._progress.remove_task(task)  # type: ignore[arg-type]
        self._tasks.clear()
        mark = "[green]✓[/green]" if outcome.succeeded else "[red]✗[/red]"
        name = f"{outcome.stage} {outcome.plate or ''}".strip()
        self._console.print(f"{mark} {name:<40} {outcome.seconds:7.1f} s")
        # Several assets may have failed for one reason.
        for message in dict.fromkeys(outcome.messages):
            self._console.print(f"    [red]failed[/red] {escape(message)}")
        for text in outcome.failed_checks[:CHECKS_SHOWN]:
            self._console.print(f"    [yellow]check[/yellow] {escape(text)}")
