"""What all commands share: the console, the project option, errors that end in a message."""

import errno
import os
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from dp_assets.config.errors import ProjectError
from dp_assets.orchestration.code_location import PROJECT_VARIABLE, project_folder

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


# What a machine refuses: no permission, read-only, full, a file where a folder should be.
MACHINE_ERRORS = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOTDIR,
    errno.EEXIST,
)


class CommandGroup(click.Group):
    """Commands whose user errors end in a message and exit code 1, never in a traceback."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except ProjectError as error:
            errors.print(f"[red]error:[/red] {escape(str(error))}")
            sys.exit(1)
        except OSError as error:
            if error.errno not in MACHINE_ERRORS:
                raise
            errors.print(f"[red]error:[/red] {escape(f'{error.filename}: {error.strerror}')}")
            errors.print("    -> check the path, its permissions and the free space of the disk")
            sys.exit(1)


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
