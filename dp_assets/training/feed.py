"""The cells of one epoch as batches for Keras, read ahead by threads."""

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import keras
import numpy as np

from dp_assets.training.cells import LabelledCells
from dp_assets.training.targets import BatchTargets, Target

Shown = np.ndarray | tuple[np.ndarray, np.ndarray]
"""What a batch shows to the model: crops, or crops and the grey levels that their plates take to 0 and 1."""
Batch = tuple[Shown, Target]
BatchTransform = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
"""Changes the crops of batch number i: (i, crops, labels) -> crops."""


class CropFeed(keras.utils.PyDataset):
    """One epoch: a fixed list of cells, cut into batches.

    An epoch is one object, never changed, so no thread can run on into the next epoch with the former order.
    Reading ahead is done here and not by Keras' own workers: those lose the type of an exception, so that a
    damaged crop store would come out as an error of the backend, and cost a tenth of a second at the end of
    each epoch.

    Parameters
    ----------
    cells : where the crops and labels come from.
    rows : int64 (n,), the epoch's cells in order.
    targets : makes the target of a batch.
    batch_size : cells in a batch; the last batch may be shorter.
    workers : threads that read.
    transform : changes the crops of a batch, which is given by its number; called in these threads.
    """

    def __init__(
        self,
        cells: LabelledCells,
        rows: np.ndarray,
        *,
        targets: BatchTargets,
        batch_size: int,
        workers: int = 2,
        transform: BatchTransform | None = None,
    ) -> None:
        super().__init__(workers=1)
        self._cells = cells
        self._rows = rows
        self._targets = targets
        self._transform = transform
        self.batch_size = batch_size
        self._ahead = 2 * workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="crop-feed")
        self._pending: dict[int, Future[Batch]] = {}
        self.failure: Exception | None = None

    @property
    def crop_shape(self) -> tuple[int, int, int]:
        """Shape of a crop: (rows, cols, channels)."""
        return self._cells.crops.shape

    def __len__(self) -> int:
        """Number of batches: cells / batch_size, rounded up."""
        return math.ceil(len(self._rows) / self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        """Batch `index`: crops as they are in their source, and what the network is to say to them.

        Crops are (n, rows, cols, channels) of uint8, uint16 or float32. Where they are to be normalised by
        the grey levels of their plates, they come with these: (crops, float32 (n, 2, channels)).

        What the crop source raises is raised here, and kept in `failure` because Keras wraps it up.
        """
        for ahead in range(index, min(index + self._ahead + 1, len(self))):
            if ahead not in self._pending:
                self._pending[ahead] = self._pool.submit(self._read, ahead)
        try:
            return self._pending.pop(index).result()
        except Exception as error:
            self.failure = self.failure or error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, index: int) -> Batch:
        rows = self._rows[index * self.batch_size : (index + 1) * self.batch_size]
        crops = self._cells.crops.read(rows)
        if self._transform is not None:
            crops = self._transform(index, crops, self._cells.first_labels[rows])
        ranges = self._cells.crops.ranges(rows)
        return crops if ranges is None else (crops, ranges), self._targets.of(rows, crops)
