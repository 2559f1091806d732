"""`dp-assets import`: results that DeepProfiler has written, brought into this project."""

from pathlib import Path

import click
from rich.markup import escape

from dp_assets.cli.command_group import console
from dp_assets.cli.plate_progress import names_in, plate_progress
from dp_assets.cli.project_option import existing_project, project_option
from dp_assets.config.errors import ProjectError

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
SHOWN = 5


@click.group("import")
def import_results() -> None:
    """Bring in what DeepProfiler has written: features, exported single cells."""


@import_results.command()
@project_option
@click.argument("folder", type=FOLDER)
@click.option("--experiment", required=True, help="Name for the features in this project.")
@click.option("--plates", "plate_names", help="Comma-separated plates; all by default.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder. Default: outputs/EXPERIMENT/imported_features.",
)
@click.option(
    "--xy",
    nargs=2,
    type=click.IntRange(min=0),
    default=(0, 1),
    show_default=True,
    help="Columns of `locations` that hold X and Y, from 0.",
)
def features(
    folder: Path, experiment: str, plate_names: str | None, output: Path | None, xy: tuple[int, int]
) -> None:
    """Feature files <plate>/<well>/<site>.npz or <plate>/<well>_<site>.npz as tables.

    FOLDER is DeepProfiler's outputs/<experiment>/features. Sites are those of inputs/metadata/index.csv.
    """
    from dp_assets.interchange.features_import import import_plate
    from dp_assets.interchange.legacy_folder import plan_import
    from dp_assets.orchestration.importing import ProjectImports

    imports = ProjectImports(existing_project().resolve())
    target = output if output is not None else imports.features_folder(experiment)
    workers = imports.resource.workers
    without: list[str] = []
    with plate_progress("files") as of_plate:
        plan = plan_import(folder.resolve(), imports.index(), workers=workers, progress=of_plate("looking"))
        plates = _chosen(plan.plates, names_in(plate_names), folder)
        cells = 0
        for plate in plates:
            done = import_plate(plan, plate, target, xy_columns=xy, workers=workers, progress=of_plate(plate))
            cells += done.cells
            without += done.without_locations
            console.print(f"[green]✓[/green] {escape(plate)}: {done.sites} sites, {done.cells} cells")
    _lost("files of sites that the index does not list", [str(path) for path in plan.found.unknown])
    _lost("sites without usable locations", without)
    console.print(f"{target}: {cells} cells, {plan.dimension} features of {escape(plan.model)}")


@import_results.command()
@project_option
@click.argument("folder", type=FOLDER)
@click.option("--set", "set_name", required=True, help="Name for the set: letters, digits, underscores.")
@click.option("--plates", "plate_names", help="Comma-separated plates; all by default.")
@click.option("--box", type=click.IntRange(min=1), help="Size of the crops. Default: that of the first one.")
@click.option("--skip-missing", is_flag=True, help="Leave out cells whose image is not there.")
def crops(folder: Path, set_name: str, plate_names: str | None, box: int | None, skip_missing: bool) -> None:
    """Exported single cells (PNG strips and sc-metadata.csv) as crops to train on.

    FOLDER holds sc-metadata.csv. Sites are those of inputs/metadata/index.csv, channels those of the
    project's experiments. Classes and splits come from the index, not from the list.
    """
    from dp_assets.interchange.crop_list import read_crop_list
    from dp_assets.interchange.strip_format import strip_format
    from dp_assets.orchestration.importing import ProjectImports, settings_for

    _check_set_name(set_name)
    imports = ProjectImports(existing_project().resolve())
    channels = imports.channels()
    listed = read_crop_list(folder.resolve(), imports.index())
    form = strip_format(listed, channels, box)
    imports.require_geometry(set_name, form)
    plates = _chosen(listed.plates, names_in(plate_names), listed.path)
    cells = missing = 0
    with plate_progress("sites") as of_plate:
        for plate in plates:
            count, absent, kept = imports.import_plate(
                listed, plate, set_name, form, skip_missing=skip_missing, progress=of_plate(plate)
            )
            cells, missing = cells + count, missing + absent
            note = " (unchanged)" if kept else ""
            console.print(f"[green]✓[/green] {escape(plate)}: {count} cells{note}")
    imports.make_labels(plates)
    _lost("sites that the index does not list", [f"{k} ({n} cells)" for k, n in listed.unknown.items()])
    if missing:
        console.print(f"[yellow]left out:[/yellow] {missing} cells whose image is missing")
    console.print(f"single_cells/{set_name}: {cells} cells, {form.box_size} pixels, {', '.join(channels)}")
    console.print(
        f"An experiment trains on them with {escape(settings_for(set_name, form))}: dp-assets run train"
    )


def _check_set_name(name: str) -> None:
    if not name.replace("_", "").isalnum() or not name.isascii():
        raise ProjectError(
            f"{name!r} is no name for a set", where="--set", remedy="use letters, digits and underscores"
        )


def _chosen(present: list[str], wanted: list[str], where: Path) -> list[str]:
    missing = [plate for plate in wanted if plate not in present]
    if missing or not present:
        raise ProjectError(
            f"there is nothing of {', '.join(missing) or 'any plate of the index'}; "
            f"plates that are there: {', '.join(present) or 'none'}",
            where=str(where),
            remedy="correct --plates, or list the plates in inputs/metadata/index.csv",
        )
    return wanted or present


def _lost(what: str, items: list[str]) -> None:
    """Name what was left out, shortened."""
    if items:
        more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
        shown = escape(", ".join(items[:SHOWN]))
        console.print(f"[yellow]left out:[/yellow] {len(items)} {what}: {shown}{more}")
