"""The model folder: a trained network and a card that says what it is, saw, and expects as input."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from upath import UPath

from dp_assets.config.errors import StoreError
from dp_assets.storage.atomic import is_local, write_bytes
from dp_assets.storage.folders import Folder, open_folder
from dp_assets.storage.model_card import ModelCard

__all__ = [
    "CARD_FILE",
    "CHECKPOINTS",
    "LOG_FILE",
    "NETWORK_FILE",
    "TENSORBOARD",
    "ModelCard",
    "ModelFolder",
    "card_facts",
    "read_card",
    "write_card",
]

NETWORK_FILE = "model.keras"
CARD_FILE = "model_card.json"
LOG_FILE = "log.csv"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"


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
