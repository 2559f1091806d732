"""The option --project of every command, and the project it names."""

import os
from pathlib import Path

import click

from dp_assets.config.errors import ProjectError
from dp_assets.orchestration.code_location import PROJECT_VARIABLE, project_folder


def _use_project(_: click.Context, __: click.Parameter, project: Path | None) -> None:
    """Name the project for everything that runs in this process, definitions included."""
    if project is not None:
        os.environ[PROJECT_VARIABLE] = str(project.resolve())


# Given before or after the command's name.
project_option = click.option(
    "--project",
    type=click.Path(file_okay=False, path_type=Path),
    expose_value=False,
    callback=_use_project,
    help="The project folder. Default: $DP_PROJECT, this folder when it holds inputs/, else ./project.",
)


def existing_project() -> Path:
    """The project that the command is for; ProjectError when the folder is none."""
    root = project_folder()
    if not (root / "inputs").is_dir():
        raise ProjectError(
            "this is not a project folder: it has no inputs/",
            where=str(root),
            remedy="run `dp-assets setup` there, or name the folder with --project",
        )
    return root
