"""The commands `dp-assets figure ...`: drawings of published results."""

import math
from pathlib import Path

import click

from dp_assets.cli.command_group import console
from dp_assets.cli.project_option import existing_project, project_option

output_option = click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="PNG file to write."
)


@click.group()
def figure() -> None:
    """Draw figures from published results."""


@figure.command("dose-response")
@project_option
@click.option("--experiment", required=True, help="Whose well profiles.")
@click.option("--compound", default="Compound", show_default=True, help="Index column with the compound.")
@click.option("--dose", default="Concentration", show_default=True, help="Index column with the dose.")
@click.option("--unit", default="", help="Unit of the doses, for the axis.")
@click.option("--exclude", multiple=True, metavar="COLUMN=VALUE", help="Leave wells out (may be repeated).")
@output_option
def dose_response(
    experiment: str, compound: str, dose: str, unit: str, exclude: tuple[str, ...], output: Path
) -> None:
    """Distance of well profiles from the controls by dose, with Spearman's rank correlation."""
    from dp_assets.orchestration.dose_response_report import DoseColumns, dose_response_report

    pairs = tuple((column, value) for column, _, value in (text.partition("=") for text in exclude))
    png, responses = dose_response_report(
        existing_project(), experiment, DoseColumns(compound, dose, pairs, unit)
    )
    for found in responses:
        console.print(
            f"{found.compound}: Spearman {found.spearman:.3f} over {len(found.doses)} doses "
            f"({found.wells} wells)"
        )
    _write(png, output)


@figure.command("dose-activity")
@project_option
@click.option("--experiment", required=True, help="Whose evaluation.")
@click.option("--unit", default="", help="Unit of the doses, for the axis.")
@output_option
def dose_activity(experiment: str, unit: str, output: Path) -> None:
    """Mean average precision of each dose against the controls, with Spearman's rank correlation."""
    from dp_assets.orchestration.profile_figures import dose_activity_report

    png, ranks = dose_activity_report(existing_project(), experiment, unit)
    for compound, rank in ranks.items():
        shown = "all doses score the same" if math.isnan(rank) else f"Spearman {rank:.3f}"
        console.print(f"{compound}: {shown}")
    _write(png, output)


@figure.command("plates")
@project_option
@click.option("--experiment", required=True, help="Whose profiles.")
@click.option(
    "--value",
    default="Cell_Count",
    show_default=True,
    help="A feature, a metadata column, or a score of treatments: activity, activity_q.",
)
@output_option
def plates(experiment: str, value: str, output: Path) -> None:
    """One number, or one category, of every well, plate by plate."""
    from dp_assets.orchestration.profile_figures import plate_report

    _write(plate_report(existing_project(), experiment, value), output)


def _write(png: bytes, output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(png)
    console.print(f"wrote {output}")
