"""`dp-assets index`: rows of the image index out of what a plate's files say of themselves."""

import os
from pathlib import Path

import click
from upath import UPath

from dp_assets.cli.command_group import console
from dp_assets.cli.project_option import existing_project, project_option
from dp_assets.config.errors import ImageIndexError
from dp_assets.config.project import load_project
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.index_file import INDEX_NAMES, IndexLocation, find_index, why_outside
from dp_assets.storage.index_rows import add_to_index, index_rows
from dp_assets.storage.names import PLATE_NAME
from dp_assets.storage.plate_fields import FILE_PATTERN, find_channels, find_fields


@click.command()
@project_option
@click.argument("source")
@click.option("--plate", "plate_name", help="Name of the plate; by default that of the folder.")
@click.option("--channels", default="", help="Comma-separated names, in the order of the image.")
@click.option("--pattern", default=FILE_PATTERN, help="Regular expression for well and site in file names.")
@click.option("--replace", is_flag=True, help="Put the rows in the place of those that the plate has.")
def index(source: str, plate_name: str | None, channels: str, pattern: str, replace: bool) -> None:
    """Add the fields of view of SOURCE to the image index.

    SOURCE is an OME-Zarr plate, or a folder of OME-TIFF files with one field of view each; it lies in
    inputs/images or under image_roots. Channels have the names that the first image gives them.
    """
    resource = ProjectResource.of(load_project(existing_project()))
    plate = UPath(source) if "://" in source else Path(os.path.abspath(source))
    name = plate_name or plate.name.split(".", 1)[0]
    if not PLATE_NAME.fullmatch(name):
        raise ImageIndexError(
            f"{name!r} cannot be the name of a plate", where=source, remedy="give it one with --plate"
        )
    prefix = _prefix(plate, resource.image_location())
    fields = find_fields(plate, pattern)
    names = [part.strip() for part in channels.split(",") if part.strip()]
    planes = find_channels(plate, fields, names)
    path = _index_file(resource)
    add_to_index(path, index_rows(name, prefix, fields, planes), replace=replace)
    console.print(f"wrote plate {name}, fields of view: {len(fields)}, channels {', '.join(planes)}: {path}")


def _prefix(plate: Path | UPath, location: IndexLocation) -> str:
    """The plate's folder as index paths have it: relative to inputs/images, or absolute under image_roots."""
    images = str(location.images)
    inside = f"{(images if '://' in images else os.path.abspath(images)).rstrip('/')}/"
    given = str(plate).rstrip("/")
    if given.startswith(inside):
        return given.removeprefix(inside)
    if why_outside(f"{given}/image", location.image_roots) is None:
        return given
    raise ImageIndexError(
        "the plate lies outside the folders that images may come from",
        where=given,
        remedy="move or link it into inputs/images, or add its folder to image_roots in project.yaml",
    )


def _index_file(resource: ProjectResource) -> Path | UPath:
    """The index that is there, or where one is made."""
    layout = resource.layout
    if layout.index is not None:
        return layout.index
    if any((layout.metadata / name).exists() for name in INDEX_NAMES):
        return find_index(layout.metadata)
    return layout.metadata / INDEX_NAMES[0]
