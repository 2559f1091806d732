"""`dp-assets sweep`: many variants of an experiment, and which of them did best."""

import click
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from dp_assets.cli.command_group import console
from dp_assets.cli.project_option import existing_project, project_option
from dp_assets.config.project import load_project
from dp_assets.config.sweep_file import SweepSettings, load_sweep

ROWS_SHOWN = 20


@click.command()
@project_option
@click.argument("name")
@click.option("--plates", "plate_names", help="Comma-separated plates to prepare; all by default.")
def sweep(name: str, plate_names: str | None) -> None:
    """Train the variants that inputs/config/sweeps/NAME describes, and tabulate their scores.

    Every variant is an experiment of its own. Run it again to go on: what is trained stays.
    """
    from dp_assets.orchestration.run_display import run_stages
    from dp_assets.orchestration.sweep import TABLE_FILE, Trial, Variant, run_sweep, sweep_folder, trial_table

    root = existing_project()
    sweep_name, settings = load_sweep(root, name)
    project = load_project(root.resolve())
    stages = ["index", "prepare", "export_single_cells", "train", *(["profile"] if settings.profile else [])]
    wanted = [part.strip() for part in plate_names.split(",") if part.strip()] if plate_names else None

    def run_lane(variant: Variant) -> str | None:
        shown = ", ".join(f"{key}={value}" for key, value in variant.settings.items())
        console.print(f"[bold]{variant.lane}[/bold]  {escape(shown)}")
        outcomes = run_stages(
            root, stages, wanted, (variant.lane,), force=False, verbose=False, console=console
        )
        failed = [outcome for outcome in outcomes if not outcome.succeeded]
        return "; ".join(failed[0].messages) or f"{failed[0].stage} failed" if failed else None

    def tried(trial: Trial) -> None:
        score = (trial.scores or {}).get(settings.metric)
        missing = "failed" if trial.scores is None else "not measured"
        console.print(f"  {settings.metric}: {missing if score is None else f'{score:.5g}'}")

    trials = run_sweep(project, sweep_name, settings, run_lane, tried=tried)
    _print_table(trial_table(trials, settings), settings)
    console.print(f"wrote {sweep_folder(project, sweep_name) / TABLE_FILE}")
    console.print(f"The variants are experiments in {root / 'inputs/config'}; delete those you do not need.")


def _print_table(table: pd.DataFrame, settings: SweepSettings) -> None:
    columns = [
        "trial",
        "experiment",
        *settings.keys,
        *([settings.metric] if settings.metric in table else []),
    ]
    if table["failure"].any():
        columns.append("failure")
    drawn = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for _, row in table.head(ROWS_SHOWN).iterrows():
        drawn.add_row(*(escape(_text(row[column])) for column in columns))
    console.print(drawn)


def _text(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
