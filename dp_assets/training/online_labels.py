"""Labels that follow the network's own predictions while it trains (online label smoothing).

Every training cell has a probability for each class. It starts as its softened label, and after every epoch
moves towards what the network says: soft = (1 - lambda) * soft + lambda * prediction. Source: DeepProfiler,
`online_labels_cropgen`; handbook, `online_label_smoothing` and `online_lambda`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dp_assets.config.errors import StoreError
from dp_assets.storage.atomic import atomic_file
from dp_assets.storage.fingerprints import fingerprint_bytes
from dp_assets.training.resume_state import Progress

FOLDER = "soft_labels"
ROW = "row"
ROWS_AT_ONCE = 65_536
DIGITS = "%.6g"


class OnlineLabels:
    """The present labels of all training cells.

    Parameters
    ----------
    soft : float32 (cells, classes), probabilities; changed in place by `update`.
    """

    def __init__(self, soft: np.ndarray) -> None:
        self.soft = soft

    @classmethod
    def start(cls, labels: np.ndarray, classes: int, smoothing: float) -> "OnlineLabels":
        """One-hot labels, of which a share `smoothing` is spread evenly over all classes.

        Parameters
        ----------
        labels : int64 (cells,).
        """
        soft = np.full((len(labels), classes), smoothing / classes, np.float32)
        soft[np.arange(len(labels)), labels] += np.float32(1 - smoothing)
        return cls(soft)

    @classmethod
    def read(cls, folder: Path, epoch: int, shape: tuple[int, int]) -> "OnlineLabels":
        """The labels after a finished epoch (1-based), exactly as they were.

        Raises
        ------
        StoreError : the file is missing or damaged.
        """
        path = _state(folder, epoch)
        try:
            soft = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise _damaged(path, str(error)) from error
        if soft.shape != shape or soft.dtype != np.float32:
            raise _damaged(path, f"it holds {soft.dtype} {soft.shape}, expected float32 {shape}")
        return cls(soft)

    def update(self, predictions: Iterable[np.ndarray], share: float) -> None:
        """Move every label towards the prediction for its cell.

        Parameters
        ----------
        predictions : class probabilities (n, classes) of the cells in order, batch by batch.
        share : lambda (`train.model.params.online_lambda`).
        """
        start = 0
        for batch in predictions:
            labels = self.soft[start : start + len(batch)]
            labels += np.float32(share) * (batch - labels)
            start += len(batch)
        if start != len(self.soft):
            raise ValueError(f"Expected predictions for {len(self.soft)} cells. Received {start}.")

    def save(self, folder: Path, epoch: int) -> str:
        """Write the state after an epoch (1-based) into the model folder, for a run that goes on from it.

        Returns
        -------
        Digest of the file.
        """
        path = _state(folder, epoch)
        with atomic_file(path) as stream:
            np.save(stream, self.soft)
        return fingerprint_bytes(path.read_bytes())

    def write_table(self, folder: Path, epoch: int, classes: Sequence[str]) -> None:
        """Write `soft_labels/NNNN.csv`: number of the training cell, and its probability of each class."""
        with atomic_file(_table(folder, epoch)) as stream:
            for start in range(0, len(self.soft), ROWS_AT_ONCE):
                part = self.soft[start : start + ROWS_AT_ONCE]
                rows = pd.RangeIndex(start, start + len(part), name=ROW)
                table = pd.DataFrame(part, index=rows, columns=list(classes))
                stream.write(table.to_csv(header=start == 0, float_format=DIGITS).encode())


def check_labels(folder: Path, progress: Progress) -> None:
    """Refuse to go on with labels that are not what the run left.

    Raises
    ------
    StoreError : the file is missing or damaged.
    """
    if progress.labels is None:
        return
    path = _state(folder, progress.epochs)
    try:
        if fingerprint_bytes(path.read_bytes()) != progress.labels:
            raise _damaged(path, "it is not what the run has written")
    except OSError as error:
        raise _damaged(path, str(error)) from error


def remove_labels(folder: Path, *, tables: set[int], state: int | None) -> None:
    """Remove the tables of all epochs but these, and all states but that of the epoch `state` (1-based)."""
    keep = {_table(folder, epoch) for epoch in tables}
    if state is not None:
        keep.add(_state(folder, state))
    for path in (folder / FOLDER).glob("[!.]*"):
        if path not in keep:
            path.unlink()
    if (folder / FOLDER).is_dir() and not any((folder / FOLDER).iterdir()):
        (folder / FOLDER).rmdir()


def _table(folder: Path, epoch: int) -> Path:
    return folder / FOLDER / f"{epoch:04d}.csv"


def _state(folder: Path, epoch: int) -> Path:
    return folder / FOLDER / f"state_{epoch:04d}.npy"


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"the labels of the training run cannot be read: {reason}",
        where=str(path),
        remedy="delete the training's resume.npz; training then starts from the first epoch",
    )
