"""Commands whose user errors end in a message, and the console they write to."""

import sys

import click
from rich.console import Console
from rich.markup import escape

from dp_assets.config.errors import ProjectError
from dp_assets.config.machine_errors import machine_error

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


class CommandGroup(click.Group):
    """Commands whose user errors end in a message and exit code 1, never in a traceback."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except ProjectError as error:
            errors.print(f"[red]error:[/red] {escape(str(error))}")
            sys.exit(1)
        except OSError as error:
            refused = machine_error(error)
            if refused is None:
                raise
            errors.print(f"[red]error:[/red] {escape(str(refused))}")
            sys.exit(1)
