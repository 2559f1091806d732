"""Trainings of four epochs: python -m dp_assets_tests.training.killed_run FOLDER [FOLDER ...] [--die].

With --die, the process kills itself in the middle of the third epoch, without any chance to tidy up.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np

from dp_assets.networks.accelerator import AcceleratorSettings, configure_accelerator
from dp_assets.training.cells import LabelledCells
from dp_assets_tests.training.synthetic import (
    HEADS,
    ArrayCrops,
    labelled_cells,
    pixels,
    training_settings,
)


class DeadlyCrops(ArrayCrops):
    """Crops that, once told so, kill the process at the third reading of batches."""

    left = -1

    def read(self, rows: np.ndarray) -> np.ndarray:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(rows)


def main(folders: list[str], *, die: bool) -> None:
    """Train with everything random, and everything that is kept from epoch to epoch."""
    configure_accelerator(AcceleratorSettings(devices="cpu", deterministic=True))
    from dp_assets.training.outcome import EpochReport
    from dp_assets.training.trainer import train_network

    cells = labelled_cells()
    crops = DeadlyCrops(pixels(cells))

    def after_epoch(report: EpochReport) -> None:
        if die and report.epoch == 2:
            crops.left = 3

    for folder in folders:
        outcome = train_network(
            settings=training_settings(
                epochs=4,
                lr_schedule="cosine",
                crop_generator="online_labels_cropgen",
                callbacks=[{"name": "EarlyStopping", "params": {"patience": 4}}],
            ),
            heads=HEADS,
            training=LabelledCells(crops, cells.labels),
            validation=labelled_cells((6, 6, 6), seed=1),
            folder=Path(folder),
            progress=after_epoch,
        )
        print(f"resumed after {outcome.resumed_from}")


if __name__ == "__main__":
    main([a for a in sys.argv[1:] if a != "--die"], die="--die" in sys.argv)
