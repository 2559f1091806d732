"""The command `dp-assets worker`: this machine executes runs that other machines launch."""

import os

import click
from rich.markup import escape

from dp_assets.cli.command_group import console
from dp_assets.cli.project_option import existing_project, project_option
from dp_assets.networks.devices import list_devices
from dp_assets.orchestration.code_location import PROJECT_VARIABLE

# Named here so that the command lists them without the extra "cluster".
QUEUES = ("cpu", "gpu")


@click.command()
@project_option
@click.option(
    "--queue",
    "queues",
    type=click.Choice(QUEUES),
    multiple=True,
    required=True,
    help="Which runs to take: gpu for training and features, cpu for the others (may be repeated).",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Runs at a time; of queue gpu as many as this worker has GPUs.",
)
def worker(queues: tuple[str, ...], concurrency: int) -> None:
    """Execute runs of the project on this machine, until Ctrl+C (docs/reliability.md, Many machines)."""
    from dp_assets.orchestration.worker_start import start_worker

    problem = list_devices().problem if "gpu" in queues else None
    if problem is not None:
        console.print(f"[yellow]warning[/yellow] {escape(str(problem))}")
    os.environ[PROJECT_VARIABLE] = str(existing_project().resolve())
    start_worker(tuple(dict.fromkeys(queues)), concurrency)
