"""`dp-assets backfill`: make what is missing, has failed or is stale, and nothing else."""

import os
import sys

import click

from dp_assets.cli.command_group import console
from dp_assets.cli.plate_progress import names_in
from dp_assets.cli.project_option import existing_project, project_option
from dp_assets.config.names import asked_lane


@click.command()
@project_option
@click.option("--missing", is_flag=True, help="What was never made.")
@click.option("--failed", is_flag=True, help="What the last run failed to make, and is still to be made.")
@click.option("--stale", is_flag=True, help="What files, settings or earlier results have changed for.")
@click.option("--dry-run", is_flag=True, help="Show what would be made; write nothing.")
@click.option("--plates", "plate_names", help="Comma-separated plates, and nothing made of all plates.")
@click.option("--experiment", "experiments", multiple=True, help="Only this experiment (may be repeated).")
@click.option("--verbose", is_flag=True, help="Show Dagster's log.")
def backfill(
    missing: bool,
    failed: bool,
    stale: bool,
    dry_run: bool,
    plate_names: str | None,
    experiments: tuple[str, ...],
    verbose: bool,
) -> None:
    """Show what is missing, has failed or is stale, and make it.

    Give one of --missing, --failed and --stale, or several. Staleness goes by content: a file that was only
    touched is not stale. A plate that fails does not keep the others from being made.
    """
    from dp_assets.orchestration.automation.backfill_run import backfill as run_backfill

    asked = (("missing", missing), ("failed", failed), ("stale", stale))
    kinds = [kind for kind, wanted in asked if wanted]
    if not kinds:
        raise click.UsageError("give --missing, --failed or --stale, or several of them")
    root = existing_project()
    os.environ["DP_PROJECT"] = str(root.resolve())
    done = run_backfill(
        root,
        kinds,  # type: ignore[arg-type]
        names_in(plate_names),
        tuple(dict.fromkeys(map(asked_lane, experiments))),
        dry_run=dry_run,
        verbose=verbose,
        console=console,
    )
    sys.exit(0 if done else 1)
