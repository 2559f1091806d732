"""What a model is made from, known before any network is built (importing this imports no Keras)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from dp_assets.config.errors import ModelError
from dp_assets.config.network import BUILT_IN_NETWORKS, CROP_GENERATORS
from dp_assets.config.stages import TrainingSettings
from dp_assets.storage.fingerprints import fingerprint, fingerprint_bytes, fingerprint_table
from dp_assets.training.cells import LabelledCells
from dp_assets.training.crop_supply import CropSupply
from dp_assets.training.identity import plugin_files_content
from dp_assets.training.store_crops import PlateRange
from dp_assets.training.training_set import TrainingSet

VERSION = "1"


@dataclass(frozen=True)
class TrainingPlan:
    """What a model is made from.

    Attributes
    ----------
    settings : the experiment's training stage.
    training_set : cells, classes, splits.
    supply : where the crops of these cells come from.
    plate_ranges : plate -> (lower, upper) grey levels, for normalization "plate".
    precision : dtype policy of the network.
    start_from : weights file to start from; None for fresh weights.
    imagenet_weights : local file with ImageNet weights, where training starts from them and the configuration
        names one.
    plugins : the project's folder of plugins.
    comet_key : key file of comet.com, where the training is followed there.
    mlflow : address of an MLflow server, or a folder, where the training is followed there.
    name : of the experiment.
    """

    settings: TrainingSettings
    training_set: TrainingSet
    supply: CropSupply
    plate_ranges: Mapping[str, PlateRange]
    precision: str = "float32"
    start_from: Path | None = None
    imagenet_weights: Path | None = None
    plugins: Path | None = None
    comet_key: Path | None = None
    mlflow: str | None = None
    name: str = ""

    @cached_property
    def crops_fingerprint(self) -> str:
        """What the pixels are that the network learns from."""
        ranges = {plate: [v.tolist() for v in values] for plate, values in self.plate_ranges.items()}
        return fingerprint(self.supply.fingerprints(self.training_set.cells), ranges)

    @cached_property
    def content(self) -> str:
        """What a training goes on with only when it is still the same: crops and their labels."""
        return fingerprint(self.crops_fingerprint, fingerprint_table(self.training_set.cells))

    def fingerprint(self, training_set_version: str) -> str:
        """What the model is made from: cells, crops, settings, first weights, plugins, this code."""
        file = self.start_from or self.imagenet_weights
        first = [] if file is None else [fingerprint_bytes(file.read_bytes())]
        return fingerprint(
            "training",
            VERSION,
            training_set_version,
            self.crops_fingerprint,
            learning_digest(self.settings),
            self.precision,
            *first,
            *self._plugin_content(),
        )

    def _plugin_content(self) -> list[str]:
        """The project's plugin files, where the network or the feed is one of theirs."""
        network = self.settings.network
        own = {network.name} <= BUILT_IN_NETWORKS and network.crop_generator in CROP_GENERATORS.values()
        if own or self.plugins is None or not self.plugins.is_dir():
            return []
        return [plugin_files_content(self.plugins)]

    def labelled(self, cells: pa.Table, *, training: bool) -> LabelledCells:
        """Rows of the training set as crops with their classes; see `CropSupply.labelled`."""
        seed = self.settings.network.seed
        return self.supply.labelled(cells, self.plate_ranges, training=training, seed=seed)


def learning_digest(settings: TrainingSettings) -> str:
    """A digest of the settings that decide what the network learns.

    How images are expected to look is decided by their crops; how many threads read them decides nothing.
    """
    unimportant: dict[str, Any] = {
        "images": True,
        "logging": True,
        "sampling": {"workers", "cache_size"},
        "model": {"source", "imagenet_weights", "allow_channel_mapping"},
    }
    # Without defaults, a key that a later version adds leaves models as they are.
    parts = settings.model_dump(mode="json", exclude=unimportant, exclude_defaults=True)
    return fingerprint(parts, list(settings.images.channels), settings.images.z)


def find_weights(name: str, folders: Sequence[Path], where: str = "profile.checkpoint") -> Path:
    """The file of a checkpoint named in the configuration.

    Parameters
    ----------
    name : file name, or a path inside one of the folders; never one that leads out of them.
    folders : where to look, in order.
    where : the key that names it, for messages.

    Raises
    ------
    ModelError : it is in none of them; the message lists where it was looked for.
    """
    relative = PurePosixPath(name.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts:
        raise ModelError(
            f"checkpoint {name!r} leads out of the folders that checkpoints are taken from",
            where=where,
            remedy=f"put the file into {folders[-1]} and give its name",
        )
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(
        f"there is no checkpoint {name!r}",
        where=where,
        remedy="put the file at one of: " + ", ".join(str(folder / name) for folder in folders),
    )
