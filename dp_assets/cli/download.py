"""`dp-assets download`: public image sets as projects."""

from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from dp_assets.cli.command_group import console
from dp_assets.config.errors import ProjectError
from dp_assets.datasets import bbbc013, bbbc021, example_data
from dp_assets.datasets.fetching import PublicFile, fetch

DOWNLOADS = "downloads"
NEXT_STEPS = (
    "Then put cell locations in inputs/locations (or use full_image mode), an experiment in inputs/config "
    "(see configs/experiments), and run `dp-assets --project {root} doctor`."
)


@click.command()
@click.argument("name", type=click.Choice(["bbbc013", "bbbc021", "example"], case_sensitive=False))
@click.option(
    "--to",
    "target",
    type=click.Path(file_okay=False, path_type=Path),
    help="The project folder to make. Default: a folder with the set's name.",
)
@click.option("--plates", help="bbbc021: comma-separated plates such as Week1_22123, or all (43 GB).")
@click.option("--mirror", metavar="URL", help="Fetch from this address instead of the public one.")
def download(name: str, target: Path | None, plates: str | None, mirror: str | None) -> None:
    """Fetch a public image set and make a project of it.

    A transfer that breaks off goes on when the command is run again.
    """
    root = (target or Path(name.lower())).resolve()
    server = None if mirror is None else mirror.rstrip("/") + "/"
    made = {"bbbc013": _bbbc013, "bbbc021": _bbbc021, "example": _example}[name.lower()](root, server, plates)
    console.print(f"[green]{made} is there.[/green]")
    console.print(NEXT_STEPS.format(root=made))


def _bbbc013(root: Path, server: str | None, plates: str | None) -> Path:
    _no_plates(plates)
    (archive,) = _fetch(bbbc013.bbbc013_files(server or bbbc013.SERVER), root)
    count = bbbc013.make_bbbc013(archive, root)
    console.print(f"{count} images of 96 wells, channels {', '.join(bbbc013.CHANNELS)}")
    return root


def _bbbc021(root: Path, server: str | None, plates: str | None) -> Path:
    server = server or bbbc021.SERVER
    images, mechanisms = _fetch(bbbc021.bbbc021_tables(server), root)
    known = bbbc021.bbbc021_plates(images)
    if not plates:
        raise ProjectError(
            f"the set has {len(known)} plates of about 0.8 GB each: {', '.join(known)}",
            where="--plates",
            remedy=f"choose some: --plates {known[0]},{known[1]}; or --plates all",
        )
    asked = [part.strip() for part in plates.split(",") if part.strip()]
    wanted = known if asked == ["all"] else bbbc021.choose_plates(images, asked)
    for plate in wanted:
        (archive,) = _fetch(bbbc021.bbbc021_archives([plate], server), root)
        count = bbbc021.unpack_plate(archive, root, plate)
        # The index grows plate by plate, so that what is there can be used while the rest comes.
        bbbc021.write_bbbc021_index(root, images, mechanisms, [plate])
        console.print(f"{plate}: {count} images, channels {', '.join(bbbc021.CHANNELS)}")
    return root


def _example(root: Path, server: str | None, plates: str | None) -> Path:
    _no_plates(plates)
    (archive,) = _fetch(example_data.example_files(server or example_data.SERVER), root)
    return example_data.make_example(archive, root)


def _no_plates(plates: str | None) -> None:
    if plates:
        raise ProjectError(
            "this set comes as a whole", where="--plates", remedy="leave it out; it is for bbbc021"
        )


def _fetch(files: list[PublicFile], root: Path) -> list[Path]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        tasks = {file.name: shown.add_task(file.name, total=None) for file in files}
        return fetch(
            files,
            root / DOWNLOADS,
            progress=lambda name, done, total: shown.update(tasks[name], completed=done, total=total or None),
        )
