"""`dp-assets export`: results in the formats of DeepProfiler, JUMP, AnnData, Morpheus and others."""

from pathlib import Path

import click
from rich.markup import escape

from dp_assets.cli.command_group import console
from dp_assets.cli.plate_progress import names_in, plate_progress
from dp_assets.cli.project_option import existing_project, project_option

FOLDER = click.Path(file_okay=False, path_type=Path)
_SHOWN = 10
PLATES = click.option("--plates", "plate_names", help="Comma-separated plates; all by default.")


@click.group()
def export() -> None:
    """Write results for other programs: pycytominer, JUMP, AnnData, Morpheus, DeepProfiler."""


@export.command()
@project_option
@click.option("--experiment", required=True, help="Whose features.")
@PLATES
@click.option("--output", type=FOLDER, help="Folder. Default: outputs/EXPERIMENT/features_npz.")
@click.option(
    "--naming",
    type=click.Choice(["plate/well/site", "plate/well_site"]),
    default="plate/well/site",
    show_default=True,
    help="How files are named; pycytominer's filename_delimiter is / or _.",
)
def features(experiment: str, plate_names: str | None, output: Path | None, naming: str) -> None:
    """Cell features as one npz per field of view (features, metadata, locations)."""
    from dp_assets.interchange.features_export import export_features
    from dp_assets.orchestration.exporting import PublishedResults

    results = PublishedResults(existing_project().resolve())
    folder = output if output is not None else results.features_folder(experiment)
    files = cells = without = 0
    with plate_progress("sites") as of_plate:
        for plate in results.feature_plates(experiment, names_in(plate_names)):
            plan = results.feature_export(experiment, plate, naming)  # type: ignore[arg-type]
            done = export_features(plan, folder, workers=results.resource.workers, progress=of_plate(plate))
            files, cells, without = files + done.files, cells + done.cells, without + done.sites_without_cells
            _say(plate, f"{done.files} files, {done.cells} cells", kept=done.kept, removed=done.removed)
    note = f" ({without} sites without cells have no file)" if without else ""
    console.print(f"{folder}: {files} files, {cells} cells{note}")


@export.command()
@project_option
@click.option("--set", "set_name", required=True, help="Which crops, such as box96.")
@PLATES
@click.option("--output", type=FOLDER, help="Folder. Default: outputs/single_cells_png/SET.")
@click.option("--label", help="Index column with the classes. Default: the target trained on.")
@click.option("--split", help="Index column with the splits. Default: the one trained on.")
def crops(
    set_name: str, plate_names: str | None, output: Path | None, label: str | None, split: str | None
) -> None:
    """Crops as one PNG per cell, channels side by side, and sc-metadata.csv."""
    from dp_assets.interchange.crops_export import export_crops, write_sc_metadata
    from dp_assets.orchestration.exporting import PublishedResults

    results = PublishedResults(existing_project().resolve())
    folder = output if output is not None else results.crops_folder(set_name)
    plates = results.crop_plates(set_name, names_in(plate_names))
    labels = results.crop_labels(set_name, label, split)
    unlabelled = 0
    with plate_progress("cells") as of_plate:
        for plate in plates:
            plan = results.crop_export(set_name, plate, labels)
            done = export_crops(plan, folder, workers=results.resource.workers, progress=of_plate(plate))
            unlabelled += done.without_label
            _say(plate, f"{done.cells} cells", kept=done.kept, removed=done.removed)
    listed = write_sc_metadata(folder)
    if unlabelled:
        console.print(
            f"[yellow]left out:[/yellow] {unlabelled} cells of sites without {escape(labels.label)}"
        )
    console.print(f"{folder}: sc-metadata.csv lists {listed} cells in {len(labels.classes)} classes")


@export.command()
@project_option
@click.option("--experiment", required=True, help="Whose model.")
@click.option("--epoch", type=click.IntRange(min=1), help="Weights after this epoch. Default: the last.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="HDF5 file to write."
)
def checkpoint(experiment: str, epoch: int | None, output: Path) -> None:
    """A model's weights as an HDF5 checkpoint of DeepProfiler."""
    from dp_assets.orchestration.exporting import PublishedResults

    folder = PublishedResults(existing_project().resolve()).model_folder(experiment)
    from dp_assets.networks.accelerator import AcceleratorSettings, configure_accelerator

    # Weights are only rewritten, so a GPU that somebody trains on is left alone.
    configure_accelerator(AcceleratorSettings(devices="cpu"))
    from dp_assets.training.legacy_export import export_checkpoint

    output.parent.mkdir(parents=True, exist_ok=True)
    export_checkpoint(folder, output, f"checkpoint_{epoch:04d}" if epoch is not None else None)
    console.print(f"wrote {output}")


@export.command()
@project_option
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--experiment", required=True, help="Whose profiles.")
@click.option(
    "--level",
    type=click.Choice(["well", "treatment", "site"]),
    default="well",
    show_default=True,
    help="What a row is.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jump", "csv", "parquet", "h5ad", "gct"]),
    help="Default: by the ending of OUTPUT (.csv, .csv.gz, .parquet, .h5ad, .gct); jump for a folder.",
)
@click.option("--raw", is_flag=True, help="Profiles before normalization and correction.")
@click.option("--source", help="jump: Metadata_Source. Default: what the profiles say, else dp_assets.")
@click.option("--csv", "with_csv", is_flag=True, help="jump: a .csv.gz beside every Parquet file, too.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def profiles(
    output: Path,
    experiment: str,
    level: str,
    form: str | None,
    raw: bool,
    source: str | None,
    with_csv: bool,
    force: bool,
) -> None:
    """Profiles of all plates as JUMP's files, CSV, Parquet, AnnData or GCT.

    OUTPUT is a file, or the folder below which JUMP's profiles/BATCH/PLATE/PLATE.parquet are written.
    """
    from dp_assets.orchestration.profile_exporting import PublishedProfiles, export_profiles, format_of

    published = PublishedProfiles(existing_project().resolve(), experiment)
    chosen = format_of(output, form)  # type: ignore[arg-type]
    table = published.raw(level) if raw else published.corrected(level)  # type: ignore[arg-type]
    written = export_profiles(table, output, chosen, source=source, with_csv=with_csv, overwrite=force)
    for path in written[:_SHOWN]:
        console.print(f"wrote {escape(str(path))}")
    if len(written) > _SHOWN:
        console.print(f"... and {len(written) - _SHOWN} more files")
    features = sum(not name.startswith("Metadata_") for name in table.column_names)
    console.print(f"{table.num_rows} {level}s, {features} features")


def _say(plate: str, what: str, *, kept: bool, removed: int) -> None:
    notes = [*(["unchanged"] if kept else []), *([f"{removed} old files removed"] if removed else [])]
    note = f" ({', '.join(notes)})" if notes else ""
    console.print(f"[green]✓[/green] {escape(plate)}: {what}{note}")
