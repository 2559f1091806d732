"""A progress bar per plate, for commands that go through plates."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dp_assets.cli.command_group import console


@contextmanager
def plate_progress(what: str) -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Show progress; gives a function that makes the callback (done, total) of a plate.

    Parameters
    ----------
    what : the unit counted, e.g. "sites".
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(what),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def of_plate(plate: str) -> Callable[[int, int], None]:
            task = progress.add_task(plate, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield of_plate


def names_in(text: str | None) -> list[str]:
    """The names of a comma-separated option."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]
