"""Commands whose user errors end in a message, and the console they write to."""

import errno
import sys

import click
from rich.console import Console
from rich.markup import escape

from dp_assets.config.errors import ProjectError

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
