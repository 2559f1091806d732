"""What a model is made from, known before any network is built (importing this imports no Keras)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dp_assets.config.digest import settings_digest
from dp_assets.config.errors import ModelError
from dp_assets.config.stages import ProfilingSettings, TrainingSettings
from dp_assets.imaging.cropping import CropGeometry
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.fingerprints import fingerprint, fingerprint_bytes
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
    stores : plate -> crop store.
    geometry : how crops are cut from the windows.
    plate_ranges : plate -> (lower, upper) grey levels, for normalization "plate".
    precision : dtype policy of the network.
    """

    settings: TrainingSettings
    training_set: TrainingSet
    stores: Mapping[str, CropStore]
    geometry: CropGeometry
    plate_ranges: Mapping[str, PlateRange]
    precision: str = "float32"

    @property
    def crops_fingerprint(self) -> str:
        """What the pixels are that the network learns from."""
        ranges = {plate: [v.tolist() for v in values] for plate, values in self.plate_ranges.items()}
        return fingerprint({plate: store.fingerprint for plate, store in self.stores.items()}, ranges)

    def fingerprint(self, training_set_version: str) -> str:
        """What the model is made from: cells, crops, settings, precision, this code's version."""
        return fingerprint(
            "training",
            VERSION,
            training_set_version,
            self.crops_fingerprint,
            learning_digest(self.settings),
            self.precision,
        )


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


@dataclass(frozen=True)
class ImportPlan:
    """A checkpoint to be brought in.

    Attributes
    ----------
    settings : the experiment's profiling stage, with the architecture in `network`.
    checkpoint : the weight file.
    precision : dtype policy of the network.
    """

    settings: ProfilingSettings
    checkpoint: Path
    precision: str = "float32"

    @property
    def fingerprint(self) -> str:
        """What the model is made from: the file's bytes, network and crop settings, this code's version."""
        return fingerprint(
            "import",
            VERSION,
            fingerprint_bytes(self.checkpoint.read_bytes()),
            [
                settings_digest(part)
                for part in (self.settings.network, self.settings.images)
                if part is not None
            ],
            [self.settings.locations.box_size, settings_digest(self.settings.single_cells)],
            self.precision,
        )


def find_weights(name: str, folders: Sequence[Path]) -> Path:
    """The file of a checkpoint named in the configuration.

    Parameters
    ----------
    name : file name, or a path inside one of the folders; never one that leads out of them.
    folders : where to look, in order.

    Raises
    ------
    ModelError : it is in none of them; the message lists where it was looked for.
    """
    relative = PurePosixPath(name.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts:
        raise ModelError(
            f"checkpoint {name!r} leads out of the folders that checkpoints are taken from",
            where="profile.checkpoint",
            remedy=f"put the file into {folders[-1]} and give its name",
        )
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(
        f"there is no checkpoint {name!r}",
        where="profile.checkpoint",
        remedy="put the file at one of: " + ", ".join(str(folder / name) for folder in folders),
    )
