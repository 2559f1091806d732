"""The model folder: a trained network and a card that says what it is, saw, and expects as input."""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from upath import UPath

from dp_assets.config.errors import StoreError
from dp_assets.storage.atomic import atomic_file, is_local
from dp_assets.storage.folders import Folder, open_folder
from dp_assets.storage.model_card import ModelCard
from dp_assets.storage.remote import open_stored, read_stored
from dp_assets.storage.versions import stored_files

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
UNUSED_SECONDS = 24 * 3600


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
        """The folder on this machine; of a remote store a copy below `cache`, made once per version.

        Copies of other models that were not asked for in the last day are removed.

        Raises
        ------
        StoreAccessError : the store refuses, or does not answer.
        """
        path = self.folder.path
        return Path(path) if is_local(path) else _copied(UPath(path), cache / path.name)


def _copied(source: UPath, target: Path) -> Path:
    for relative, facts in stored_files(source).items():
        local = target / relative
        if not local.exists() or local.stat().st_size != facts["size"]:
            # Whole or not at all: a copy that was cut off must not be taken for the file the next time.
            with open_stored(source / relative) as stream, atomic_file(local) as sink:
                shutil.copyfileobj(stream, sink)
    os.utime(target)
    for other in target.parent.iterdir():
        if other != target and time.time() - other.stat().st_mtime > UNUSED_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
    return target


def write_card(folder: Path, card: ModelCard) -> None:
    """Write the card into a model folder that is being filled."""
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=1), encoding="utf-8")


def read_card(path: Path | UPath) -> ModelCard:
    """Read a model card. Raises StoreError when it is missing or damaged."""
    try:
        return ModelCard.model_validate_json(read_stored(path).decode("utf-8"))
    except (FileNotFoundError, ValidationError, UnicodeDecodeError) as error:
        raise StoreError(
            f"the model card cannot be read: {error}",
            where=str(path),
            remedy="materialize trained_model again with `force: true` (or --force)",
        ) from error


def card_facts(card: ModelCard) -> dict[str, Any]:
    """The card as plain values for manifests and metadata."""
    return card.model_dump(mode="json")
