"""The crop feed against a plain loop."""

import threading
import time

import numpy as np
import pytest

from dp_assets.config.errors import StoreError
from dp_assets.training.cells import LabelledCells
from dp_assets.training.feed import CropFeed
from dp_assets.training.targets import ClassTargets
from dp_assets_tests.training.synthetic import ArrayCrops, labelled_cells, pixels


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 7, 51, 100])
def test_batches_are_the_rows_in_order(workers: int, batch_size: int) -> None:
    cells = labelled_cells()
    rows = np.random.default_rng(0).integers(0, len(cells), 51)
    with CropFeed(
        cells, rows, targets=ClassTargets(cells.labels, [4]), batch_size=batch_size, workers=workers
    ) as feed:
        batches = [feed[i] for i in range(len(feed))]
        again = feed[0]

    assert len(batches) == -(-51 // batch_size)
    for start, (crops, labels) in zip(range(0, 51, batch_size), batches, strict=True):
        wanted = rows[start : start + batch_size]
        np.testing.assert_array_equal(crops, pixels(cells)[wanted])
        np.testing.assert_array_equal(
            labels, [[label == c for c in range(4)] for label in cells.labels[wanted]]
        )
        assert labels.dtype == np.float32
    np.testing.assert_array_equal(again[0], batches[0][0])


class SlowCrops(ArrayCrops):
    """Crops that take a while, and count how often they are read at the same time."""

    def __init__(self, crops: np.ndarray) -> None:
        super().__init__(crops)
        self.lock = threading.Lock()
        self.now = self.most = self.reads = 0

    def read(self, rows: np.ndarray) -> np.ndarray:
        with self.lock:
            self.now += 1
            self.reads += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with self.lock:
            self.now -= 1
        return super().read(rows)


def test_reads_ahead_in_threads_but_not_without_limit() -> None:
    cells = labelled_cells((40, 40, 40))
    slow = SlowCrops(pixels(cells))
    with CropFeed(
        LabelledCells(slow, cells.labels),
        np.arange(120),
        targets=ClassTargets(cells.labels, [3]),
        batch_size=2,
        workers=3,
    ) as feed:
        feed[0]
        time.sleep(0.3)
        assert slow.most == 3
        assert slow.reads == 1 + 2 * 3, "memory holds a bounded number of batches"
        start = time.perf_counter()
        feed[1]
        assert time.perf_counter() - start < 0.02, "the next batch was there already"


class DamagedCrops(ArrayCrops):
    """Crops that cannot be read."""

    def read(self, rows: np.ndarray) -> np.ndarray:
        raise StoreError(
            f"the chunk of cell {rows[0]} is damaged", where="single_cells/box96", remedy="export again"
        )


def test_keeps_what_the_crop_source_raised() -> None:
    cells = labelled_cells()
    damaged = LabelledCells(DamagedCrops(pixels(cells)), cells.labels)
    with CropFeed(damaged, np.arange(4), targets=ClassTargets(cells.labels, [3]), batch_size=2) as feed:
        with pytest.raises(StoreError, match="damaged"):
            feed[0]
        assert isinstance(feed.failure, StoreError)
