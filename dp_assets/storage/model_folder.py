"""The model folder: a trained network and a card that says what it is, saw, and expects as input."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from upath import UPath

from dp_assets.config.errors import ModelError, StoreError
from dp_assets.storage.atomic import is_local, write_bytes
from dp_assets.storage.folders import Folder, open_folder

NETWORK_FILE = "model.keras"
CARD_FILE = "model_card.json"
LOG_FILE = "log.csv"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"


class ModelCard(BaseModel):
    """What a model is; profiling checks its input against it.

    Attributes
    ----------
    network : architecture and size, e.g. "efficientnet" with `conv_blocks` 0 for B0.
    channels : channel names in the order of the network's input.
    box_size : rows and columns of a crop, in pixels.
    normalization, sampling : how crops were normalised and cut.
    classes : names in the order of the network's output; empty when unknown (imported checkpoints).
    trained_on : fingerprint of cells, crops and settings; None for imported checkpoints.
    """

    model_config = ConfigDict(frozen=True)

    network: str
    conv_blocks: int
    layers: tuple[str, ...]
    channels: tuple[str, ...]
    box_size: int
    bits: int
    normalization: str
    sampling: str
    input_size: int
    precision: str
    classes: tuple[str, ...] = ()
    source: str = "train"
    checkpoint: str | None = None
    plates: tuple[str, ...] = ()
    trained_on: str | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    def require_channels(self, channels: tuple[str, ...], where: str) -> tuple[int, ...]:
        """The position in `channels` of each channel the model wants, matched by name.

        Raises
        ------
        ModelError : a channel is missing or there is one too many; both lists are in the message.
        """
        if set(channels) != set(self.channels) or len(channels) != len(self.channels):
            raise ModelError(
                f"the model was trained on channels {', '.join(self.channels)}; "
                f"the images offer {', '.join(channels)}",
                where=where,
                remedy="profile with the channels the model was trained on, or train a model on these",
            )
        return tuple(channels.index(name) for name in self.channels)

    def require_crops(self, box_size: int, normalization: str, sampling: str, where: str) -> None:
        """Refuse crops that are made otherwise than those the model was trained on.

        Raises
        ------
        ModelError : box size, normalisation or sampling differ.
        """
        ours = {"box_size": self.box_size, "normalization": self.normalization, "sampling": self.sampling}
        asked = {"box_size": box_size, "normalization": normalization, "sampling": sampling}
        different = [name for name in ours if ours[name] != asked[name]]
        if different:
            raise ModelError(
                "; ".join(
                    f"the model has {name} {ours[name]}, the configuration {asked[name]}"
                    for name in different
                ),
                where=where,
                remedy="materialize trained_model with this configuration, or put the former values back",
            )


@dataclass(frozen=True)
class ModelFolder:
    """A published model folder."""

    folder: Folder
    card: ModelCard

    @classmethod
    def open(cls, path: Path | UPath) -> "ModelFolder":
        """Open the model at `path`. FileNotFoundError when never published; StoreError when damaged."""
        folder = open_folder(path)
        return cls(folder, read_card(folder.path / CARD_FILE))

    @property
    def fingerprint(self) -> str:
        """What the model was made from."""
        return self.folder.fingerprint

    def local_path(self, cache: Path) -> Path:
        """The folder on this machine; files of a remote store are copied under `cache` once."""
        path = self.folder.path
        return Path(path) if is_local(path) else _copied(UPath(path), cache / self.fingerprint)


def _copied(source: UPath, target: Path) -> Path:
    for file in source.rglob("*"):
        relative = file.path.removeprefix(source.path).lstrip("/")
        local = target / relative
        if file.is_file() and not local.exists():
            # Whole or not at all: a copy that was cut off must not be taken for the file the next time.
            write_bytes(local, file.read_bytes())
    return target


def write_card(folder: Path, card: ModelCard) -> None:
    """Write the card into a model folder that is being filled."""
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=1), encoding="utf-8")


def read_card(path: Path | UPath) -> ModelCard:
    """Read a model card. Raises StoreError when it is missing or damaged."""
    try:
        return ModelCard.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError, UnicodeDecodeError) as error:
        raise StoreError(
            f"the model card cannot be read: {error}",
            where=str(path),
            remedy="materialize trained_model again",
        ) from error


def card_facts(card: ModelCard) -> dict[str, Any]:
    """The card as plain values for manifests and metadata."""
    return card.model_dump(mode="json")
