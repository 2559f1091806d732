"""Trainings on virtual devices: python -m dp_assets_tests.training.shared_run FOLDER DEVICES [--die].

No random layers and no batch normalization, which look at the part of one device. With --die the process
kills itself in the middle of the third epoch.
"""

import sys
from pathlib import Path

from dp_assets.networks.accelerator import AcceleratorSettings, configure_accelerator
from dp_assets.training.cells import LabelledCells
from dp_assets_tests.training.killed_run import DeadlyCrops
from dp_assets_tests.training.synthetic import HEADS, labelled_cells, pixels, training_settings


def main(folder: str, devices: int, *, die: bool) -> None:
    """Train four epochs, validated with a number of cells that two devices cannot share evenly."""
    print(
        configure_accelerator(AcceleratorSettings(devices="cpu", count=devices, deterministic=True)).message
    )
    import keras

    from dp_assets.training import assembly
    from dp_assets.training.outcome import EpochReport
    from dp_assets.training.trainer import train_network

    def nothing(*_: object, name: str | None = None, **__: object) -> keras.Layer:
        return keras.layers.Activation("linear", name=name)

    assembly.always_augments = lambda _: False
    keras.layers.BatchNormalization = keras.layers.Dropout = nothing
    # as many as two devices share evenly: none is left over at the end of an epoch
    cells = labelled_cells((16, 16, 16))
    crops = DeadlyCrops(pixels(cells))

    def after_epoch(report: EpochReport) -> None:
        if die and report.epoch == 2:
            crops.left = 3

    outcome = train_network(
        settings=training_settings(epochs=4, augmentations=False, devices=devices),
        heads=HEADS,
        training=LabelledCells(crops, cells.labels),
        validation=labelled_cells((5, 5, 5), seed=1),
        folder=Path(folder),
        progress=after_epoch,
    )
    print(f"resumed after {outcome.resumed_from}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), die="--die" in sys.argv)
