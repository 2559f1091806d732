"""The front door for people: the command `dp-assets` and those of its commands that are short."""

import json
import os
import sys
from pathlib import Path

import click
from rich.markup import escape

from dp_assets import __version__
from dp_assets.cli.backfill import backfill
from dp_assets.cli.command_group import CommandGroup, console
from dp_assets.cli.download import download
from dp_assets.cli.export import export
from dp_assets.cli.figure import figure
from dp_assets.cli.imports import import_results
from dp_assets.cli.index import index
from dp_assets.cli.project_option import existing_project, project_option
from dp_assets.cli.score import score
from dp_assets.cli.sweep import sweep
from dp_assets.cli.ui import ui
from dp_assets.cli.worker import worker
from dp_assets.config.names import asked_lane
from dp_assets.config.overrides import Overrides
from dp_assets.orchestration.code_location import project_folder
from dp_assets.orchestration.stage_runner import STAGES


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dp-assets")
@project_option
def main() -> None:
    """Image-based cell profiling as a Dagster asset graph."""


@main.command()
@project_option
def setup() -> None:
    """Make the folders of a project and its Dagster instance; what is there stays as it is."""
    from dp_assets.orchestration.project_setup import missing_settings, set_up_project
    from dp_assets.storage.layout import ProjectLayout

    root = project_folder()
    made = set_up_project(root)
    for path in made:
        console.print(f"made {path}")
    home = ProjectLayout.of(root).dagster_home
    if missing := missing_settings(home):
        console.print(
            f"[yellow]{home / 'dagster.yaml'} is of an earlier version[/yellow] and lacks: "
            f"{', '.join(missing)}. Copy them from configs/dagster/local.yaml, or move the file away and "
            "run `dp-assets setup` again; the records of runs stay."
        )
    console.print(
        f"[green]{root} is ready.[/green] Put images in inputs/images, locations in inputs/locations, "
        "index.csv in inputs/metadata and an experiment (see configs/experiments) in inputs/config; "
        "then `dp-assets doctor`."
    )


@main.command()
@project_option
@click.option("--quick", is_flag=True, help="Look whether image files are there, without reading them.")
def doctor(quick: bool) -> None:
    """Check configuration, index, images, locations, disk, GPU and instance; exit code 1 with problems."""
    from dp_assets.orchestration.doctor import examine

    root = existing_project()
    total = 0
    for part in examine(root, read_images=not quick):
        mark = (
            "[red]✗[/red]"
            if part.problems
            else ("[yellow]![/yellow]" if part.warnings else "[green]✓[/green]")
        )
        console.print(f"{mark} [bold]{part.name}[/bold]  {escape(part.summary)}")
        for problem in part.problems:
            console.print(f"    [red]problem[/red] {escape(str(problem))}")
        for warning in part.warnings:
            console.print(f"    [yellow]warning[/yellow] {escape(str(warning))}")
        total += len(part.problems)
    console.print(f"[red]{total} problems[/red]" if total else "[green]no problems[/green]")
    sys.exit(1 if total else 0)


@main.command()
@project_option
@click.option("--parts", type=click.IntRange(min=1), required=True, help="How many parts.")
@click.option(
    "--by", type=click.Choice(["plate", "well"]), default="plate", show_default=True, help="What stays whole."
)
def split(parts: int, by: str) -> None:
    """Divide the index into parts (index-000.csv, ...) for several machines."""
    from dp_assets.config.project import load_project
    from dp_assets.orchestration.project_resource import ProjectResource
    from dp_assets.storage.index_split import split_index

    root = existing_project()
    index = ProjectResource.of(load_project(root.resolve())).index_location().path
    for path in split_index(Path(str(index)), parts, by):
        console.print(f"wrote {path}")


@main.command()
@project_option
@click.argument("stage", type=click.Choice([*STAGES, "all"]))
@click.option("--plates", "plate_names", help="Comma-separated plates; all registered plates by default.")
@click.option("--experiment", "experiments", multiple=True, help="Only this experiment (may be repeated).")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a key of the experiments for this run, such as train.model.epochs=5 (may be repeated).",
)
@click.option(
    "--logging", "comet", metavar="FILE", help="Key file in inputs/config: log training to comet.com."
)
@click.option(
    "--allow-channel-mapping",
    is_flag=True,
    help="Give a model its channels by name when the images list them otherwise.",
)
@click.option("--gpu", metavar="DEVICES", help="Devices: auto, cpu, or numbers such as 0 or 0,1.")
@click.option("--cores", type=click.IntRange(min=0), help="Threads to use; 0 for all cores.")
@click.option(
    "--run-config",
    "run_config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Run configuration of Dagster, such as a file of configs/runs.",
)
@click.option("--force", is_flag=True, help="Compute again even when nothing has changed.")
@click.option("--verbose", is_flag=True, help="Show Dagster's log.")
def run(
    stage: str,
    plate_names: str | None,
    experiments: tuple[str, ...],
    assignments: tuple[str, ...],
    comet: str | None,
    allow_channel_mapping: bool,
    gpu: str | None,
    cores: int | None,
    run_config_file: Path | None,
    force: bool,
    verbose: bool,
) -> None:
    """Materialize a stage, or all of them, for all or some plates.

    Nothing is computed twice: what was made from the same images, locations and settings is kept.
    """
    from dp_assets.orchestration.run_config import read_run_config
    from dp_assets.orchestration.run_display import run_stages

    root = existing_project()
    os.environ["DP_PROJECT"] = str(root.resolve())
    lanes = tuple(dict.fromkeys(map(asked_lane, experiments)))
    if comet is not None:
        assignments += (f"logging.comet={json.dumps(comet)}",)
    if allow_channel_mapping:
        assignments += ("model.allow_channel_mapping=true",)
    overrides = Overrides(assignments, lanes) if assignments else Overrides.from_environment(os.environ)
    wanted = [name.strip() for name in plate_names.split(",") if name.strip()] if plate_names else None
    stages = list(STAGES) if stage == "all" else [stage]
    outcomes = run_stages(
        root,
        stages,
        wanted,
        lanes,
        overrides=overrides,
        run_config=read_run_config(run_config_file, devices=gpu, cores=cores),
        force=force,
        verbose=verbose,
        console=console,
    )
    sys.exit(0 if all(outcome.succeeded for outcome in outcomes) else 1)


@main.command()
@project_option
@click.option("--keep", is_flag=True, help="Use the example that is there instead of writing it again.")
def demo(keep: bool) -> None:
    """Write a small example project, materialize its whole graph and show what came out."""
    from dp_assets.orchestration.demo import run_demo

    root = Path(os.environ.get("DP_PROJECT", "demo_project")).resolve()
    sys.exit(0 if run_demo(root, keep=keep, console=console) else 1)


main.add_command(backfill)
main.add_command(sweep)
main.add_command(download)
main.add_command(export)
main.add_command(figure)
main.add_command(import_results)
main.add_command(index)
main.add_command(score)
main.add_command(ui)
main.add_command(worker)


if __name__ == "__main__":
    main()
