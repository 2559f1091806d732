"""Small cells that a small network can tell apart, and settings to train it with."""

from typing import Any

import numpy as np

from dp_assets.config.sections import (
    ImagesSettings,
    LocationsSettings,
    NetworkParameters,
    NetworkSettings,
    PartitionSettings,
    SamplingSettings,
    ValidationSettings,
)
from dp_assets.config.stages import TrainingSettings
from dp_assets.imaging.normalization import Normalization
from dp_assets.training.cells import LabelledCells

BOX = 12
CHANNELS = 2
CLASSES = ("dark", "left", "top")
HEADS = (("Treatment", CLASSES),)


class ArrayCrops:
    """Crops in memory, normalised unless told otherwise."""

    def __init__(
        self,
        crops: np.ndarray,
        normalization: Normalization = "none",
        ranges: np.ndarray | None = None,
    ) -> None:
        self.crops = crops
        self.normalization = normalization
        self.ranges_of_crops = ranges

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.crops.shape[1:]

    def __len__(self) -> int:
        return len(self.crops)

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.crops[rows]

    def ranges(self, rows: np.ndarray) -> np.ndarray | None:
        return None if self.ranges_of_crops is None else self.ranges_of_crops[rows]


def labelled_cells(counts: tuple[int, ...] = (20, 14, 17), seed: int = 0) -> LabelledCells:
    """Noise, brighter at the left for class 1 and at the top for class 2."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(len(counts)), counts))
    crops = generator.random((len(labels), BOX, BOX, CHANNELS), np.float32) * 0.4
    crops[labels == 1, :, : BOX // 2] += 0.5
    crops[labels == 2, : BOX // 2] += 0.5
    return LabelledCells(ArrayCrops(crops), labels)


def pixels(cells: LabelledCells) -> np.ndarray:
    """All crops, in order."""
    return cells.crops.read(np.arange(len(cells)))


def training_settings(*, validation: dict[str, Any] | None = None, **network: Any) -> TrainingSettings:
    """Settings of a short training of the network `cnn`; keyword arguments go to `train.model`."""
    params: dict[str, Any] = {"learning_rate": 0.01, "batch_size": 8, "conv_blocks": 1, "feature_dim": 8}
    params |= network.pop("params", {})
    model = {"name": "cnn", "augmentations": True, "epochs": 3, "metrics": ["accuracy"], **network}
    return TrainingSettings(
        images=ImagesSettings(channels=("DNA", "ER"), bits=16),
        locations=LocationsSettings(box_size=BOX),
        partition=PartitionSettings(targets=("Treatment",), split_field="Split", training=("0",)),
        network=NetworkSettings(params=NetworkParameters(**params), **model),
        sampling=SamplingSettings(workers=2),
        validation=ValidationSettings(**{"batch_size": 16, **(validation or {})}),
    )
