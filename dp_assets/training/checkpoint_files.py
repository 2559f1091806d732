"""The weights of single epochs in a model folder: their names, which are kept, how they are written."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import keras

from dp_assets.storage.held_names import temporary_sibling

CHECKPOINTS = "checkpoints"
ENDING = ".weights.h5"
NAME = re.compile(r"checkpoint_(\d{4,})\.weights\.h5")

CheckpointPolicy = int | Literal["best"] | None


def checkpoint_name(epoch: int) -> str:
    """File name of the checkpoint of a 1-based epoch. Source: handbook, `checkpoint_policy`."""
    return f"checkpoint_{epoch:04d}{ENDING}"


def wanted_checkpoints(policy: CheckpointPolicy, finished: int, epochs: int, best: int | None) -> set[int]:
    """The 1-based epochs whose checkpoints are kept after `finished` of `epochs` epochs.

    Parameters
    ----------
    policy : None = every epoch, N = every N epochs, "best" = the best validation only. The last epoch is
        always kept.
    best : epoch of the best validation so far.
    """
    if policy is None:
        wanted = set(range(1, finished + 1))
    elif policy == "best":
        wanted = {best} if best is not None else set()
    else:
        wanted = set(range(policy, finished + 1, policy))
    return wanted | ({epochs} if finished >= epochs else set())


def checkpoints_in(folder: Path) -> dict[int, Path]:
    """Checkpoints of a model folder by 1-based epoch, ascending."""
    found = {
        int(match[1]): path
        for path in (folder / CHECKPOINTS).glob(f"*{ENDING}")
        if (match := NAME.fullmatch(path.name))
    }
    return dict(sorted(found.items()))


def write_checkpoint(folder: Path, network: keras.Model, epoch: int) -> Path:
    """Write the weights of `network` as the checkpoint of a 1-based epoch; returns the file."""
    path = folder / CHECKPOINTS / checkpoint_name(epoch)
    publish(path, ENDING, network.save_weights)
    return path


def remove_checkpoints(folder: Path, keep: set[int]) -> None:
    """Remove the checkpoints of all epochs but these."""
    for epoch, path in checkpoints_in(folder).items():
        if epoch not in keep:
            path.unlink()


def publish(path: Path, ending: str, write: Callable[[Path], object]) -> None:
    """Let `write` make a file and give it its name once it is complete.

    Parameters
    ----------
    ending : of the temporary name; Keras chooses the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_sibling(path).name + ending)
    try:
        write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed run left half written (hidden names only)."""
    for parent in (folder, folder / CHECKPOINTS):
        for path in parent.glob(".*.tmp*"):
            path.unlink()
