"""`dp-assets score`: how well any table of features tells treatments apart."""

import os
import sys
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource
from rich.markup import escape

from dp_assets.cli.command_group import console
from dp_assets.config.errors import ProjectError
from dp_assets.config.profile_sections import Preset
from dp_assets.orchestration.code_location import PROJECT_VARIABLE
from dp_assets.orchestration.scoring_project import default_folder, write_scoring_project
from dp_assets.orchestration.scoring_request import USUAL, VARIANTS, ScoreRequest

EXISTING = click.Path(exists=True, resolve_path=True, path_type=Path)


@click.command()
@click.argument("tables", nargs=-1, required=True, type=EXISTING, metavar="TABLE...")
@click.option(
    "--annotations",
    multiple=True,
    type=EXISTING,
    help="Table with more about wells or treatments, such as their mechanism (may be repeated).",
)
@click.option(
    "--preset",
    type=click.Choice(get_args(Preset), case_sensitive=False),
    default="custom",
    show_default=True,
    help="A published set, whose columns and protocol are known.",
)
@click.option("--control", metavar="FIELD=VALUE[,VALUE]", help="Which wells are controls.")
@click.option(
    "--treatment", multiple=True, metavar="FIELD", help="Column that names treatments (repeatable)."
)
@click.option("--label", metavar="FIELD", help="Column with the label, such as the mechanism of action.")
@click.option("--compound", metavar="FIELD", help="Column with the compound.")
@click.option("--batch", metavar="FIELD", help="Column with the batch. Default: as the preset has it.")
@click.option(
    "--variant",
    "variants",
    multiple=True,
    type=click.Choice(list(VARIANTS)),
    help=f"How profiles are made comparable (may be repeated). Default: {', '.join(USUAL)}.",
)
@click.option(
    "--normalization",
    type=click.Choice(["standardize", "mad_robustize", "none"]),
    help="A variant of your own: the scale per plate, against its controls.",
)
@click.option(
    "--correction",
    type=click.Choice(["none", "whitening", "tvn", "sphering"]),
    help="A variant of your own: the batch correction after it.",
)
@click.option(
    "--lambda",
    "regularization",
    type=click.FloatRange(min=0, min_open=True),
    help="Regularization of the corrections. Default: as the preset has it.",
)
@click.option(
    "--treatment-aggregation",
    type=click.Choice(["mean", "median"]),
    default="mean",
    show_default=True,
    help="From wells to a treatment.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any other key of the experiments, such as features.level=site (may be repeated).",
)
@click.option(
    "--project",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the results. Default: scores/NAME of the first table.",
)
@click.option("--force", is_flag=True, help="Compute scores again even when nothing has changed.")
@click.option("--verbose", is_flag=True, help="Show Dagster's log.")
@click.pass_context
def score(
    context: click.Context,
    project: Path | None,
    control: str | None,
    force: bool,
    verbose: bool,
    **asked: Any,
) -> None:
    """Score features of any program: who is whose nearest neighbour, retrieval, replicates, plates.

    TABLE is a CSV or Parquet file (or a folder of them) with a row per well, field of view or cell. The
    scores of several ways to make plates comparable are computed, and shown side by side.
    """
    from dp_assets.orchestration.score_run import run_scores

    request = ScoreRequest(control=_control(control), **asked)
    root = (project or _project_before_the_command(context) or default_folder(request.tables[0])).resolve()
    lanes = write_scoring_project(root, request)
    os.environ[PROJECT_VARIABLE] = str(root)
    console.print(f"[bold]{escape(str(root))}[/bold]  {', '.join(lanes)}")
    sys.exit(0 if run_scores(root, lanes, force=force, verbose=verbose, console=console) else 1)


def _control(text: str | None) -> tuple[str, tuple[str, ...]] | None:
    """The column and the values of `FIELD=VALUE,VALUE`."""
    if text is None:
        return None
    field, _, values = text.partition("=")
    found = tuple(value.strip() for value in values.split(",") if value.strip())
    if not field.strip() or not found:
        raise ProjectError(
            f"{text!r} names no column and value",
            where="--control",
            remedy="write the column of control wells and its value there, such as Compound=DMSO",
        )
    return field.strip(), found


def _project_before_the_command(context: click.Context) -> Path | None:
    """What `dp-assets --project FOLDER score` names; $DP_PROJECT is of other work, and does not count."""
    parent = context.parent
    if parent is None or parent.get_parameter_source("project") is not ParameterSource.COMMANDLINE:
        return None
    return Path(os.environ[PROJECT_VARIABLE])
