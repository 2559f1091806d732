"""What a training run knows after a finished epoch, in one file, so that a killed run can go on.

One file and not a model beside a progress file: two files cannot be replaced together, and a run killed
between the two would resume with the weights of one epoch and the count of another.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import keras
import numpy as np

from dp_assets.config.errors import StoreError
from dp_assets.storage.atomic import atomic_file

RESUME_FILE = "resume.npz"
PROGRESS = "progress"

EpochLog = dict[str, float | None]


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes
    ----------
    identity : fingerprint of everything that decides the loss curve; state of another identity is of no use.
    history : one entry a finished epoch, oldest first: epoch (1-based), loss, metrics, learning_rate,
        seconds.
    stopped : whether a callback ended the training with the last of these epochs.
    labels : digest of the file with the labels after these epochs; None where labels do not change.
    """

    identity: str
    history: tuple[EpochLog, ...] = ()
    stopped: bool = False
    labels: str | None = None

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    def finished(self, epochs: int) -> bool:
        """Whether nothing is left to do of `epochs` epochs."""
        return self.stopped or self.epochs >= epochs

    def validation_losses(self) -> list[float]:
        """Validation losses so far, oldest first; epochs without validation are left out."""
        return [loss for entry in self.history if (loss := entry.get("val_loss")) is not None]

    def best_epoch(self) -> int | None:
        """1-based epoch of the lowest validation loss (the first of equals); None without validation."""
        judged = [
            (loss, i)
            for i, entry in enumerate(self.history, 1)
            if (loss := entry.get("val_loss")) is not None
        ]
        return min(judged)[1] if judged else None


def save_state(path: Path, model: keras.Model, progress: Progress) -> None:
    """Write weights, optimizer state and progress to `path`, replacing the former file at once."""
    weights = [np.asarray(keras.ops.convert_to_numpy(weight)) for weight in model.weights]
    optimizer = [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in model.optimizer.variables]
    arrays = {f"weight_{i:05d}": array for i, array in enumerate(weights)}
    arrays |= {f"optimizer_{i:05d}": array for i, array in enumerate(optimizer)}
    facts = {"identity": progress.identity, "history": progress.history, "stopped": progress.stopped}
    if progress.labels is not None:
        facts["labels"] = progress.labels
    text = json.dumps(facts, allow_nan=False)
    arrays[PROGRESS] = np.frombuffer(text.encode(), np.uint8)
    with atomic_file(path) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # the stubs take the names for keyword options


def read_progress(path: Path) -> Progress | None:
    """How far the run whose state lies at `path` has come; None when there is none.

    Raises
    ------
    StoreError : the file is damaged.
    """
    if not path.exists():
        return None
    try:
        if not is_whole_archive(path):
            raise ValueError("its content does not fit its checksums")
        with np.load(path, allow_pickle=False) as arrays:
            fields = json.loads(arrays[PROGRESS].tobytes())
        history = tuple(fields["history"])
        return Progress(fields["identity"], history, fields.get("stopped", False), fields.get("labels"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        raise _damaged(path, str(error)) from error


def is_whole_archive(path: Path) -> bool:
    """Whether a zip archive (`.npz`, `.keras`) is there and every member fits its checksum."""
    try:
        with ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, EOFError, ValueError, NotImplementedError, BadZipFile):
        return False


def restore_state(path: Path, model: keras.Model) -> None:
    """Put the weights and the optimizer state of `path` into `model`, which must be compiled.

    Raises
    ------
    StoreError : the file is damaged, or was written by another network.
    """
    model.optimizer.build(model.trainable_variables)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for kind, variables in (("weight", model.weights), ("optimizer", model.optimizer.variables)):
                if sum(name.startswith(f"{kind}_") for name in arrays.files) != len(variables):
                    raise _damaged(path, f"it is not the state of network {model.name!r}")
                for i, variable in enumerate(variables):
                    variable.assign(arrays[f"{kind}_{i:05d}"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"the state of the training run cannot be read: {reason}",
        where=str(path),
        remedy="delete the file; training then starts from the first epoch",
    )
