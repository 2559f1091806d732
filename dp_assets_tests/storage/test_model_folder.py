"""Model folders and their cards, wherever they lie."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dp_assets.config.errors import StoreError
from dp_assets.storage.folders import FolderWriter, publish_folder
from dp_assets.storage.model_folder import (
    CARD_FILE,
    NETWORK_FILE,
    ModelCard,
    ModelFolder,
    card_facts,
    read_card,
    write_card,
)
from dp_assets_tests.storage.stores import KINDS, store


def card(**changes: Any) -> ModelCard:
    facts = {
        "network": "cnn",
        "conv_blocks": 2,
        "layers": ("input", "features"),
        "channels": ("DNA", "ER", "RNA"),
        "box_size": 32,
        "bits": 16,
        "normalization": "minmax",
        "sampling": "original",
        "input_size": 32,
        "precision": "float32",
        "scores": {"loss": 0.1},
    }
    return ModelCard(**{**facts, **changes})


def writer(content: bytes, model_card: ModelCard | None) -> FolderWriter:
    def fill(folder: Path) -> None:
        (folder / NETWORK_FILE).write_bytes(content)
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "checkpoint_0001.weights.h5").write_bytes(content * 2)
        if model_card is not None:
            write_card(folder, model_card)

    return FolderWriter(f"made of {content.decode()}", {}, fill)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_folder_is_usable_from_anywhere(tmp_path: Path, kind: str) -> None:
    path = store(kind, tmp_path) / "exp" / "trained_model"
    with pytest.raises(FileNotFoundError):
        ModelFolder.open(path)
    publish_folder(path, writer(b"one", card(classes=("a", "b"))))
    model = ModelFolder.open(path)
    assert model.card == card(classes=("a", "b"))
    assert model.fingerprint == "made of one"
    local = model.local_path(tmp_path / "cache")
    assert isinstance(local, Path)
    assert os.fspath(local)
    assert (local / NETWORK_FILE).read_bytes() == b"one"
    assert (local / "checkpoints" / "checkpoint_0001.weights.h5").read_bytes() == b"oneone"
    assert local.is_relative_to(tmp_path / "cache") == (kind == "memory")
    publish_folder(path, writer(b"two", card()))
    again = ModelFolder.open(path).local_path(tmp_path / "cache")
    assert (again / NETWORK_FILE).read_bytes() == b"two"


def test_a_copy_that_was_cut_off_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store("memory", tmp_path) / "trained_model"
    publish_folder(path, writer(b"one", card()))
    write = Path.write_bytes
    with monkeypatch.context() as patch:

        def half(self: Path, data: bytes) -> int:
            write(self, data[: len(data) // 2])
            raise KeyboardInterrupt

        patch.setattr(Path, "write_bytes", half)
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ModelFolder.open(path).local_path(tmp_path / "cache")
    local = ModelFolder.open(path).local_path(tmp_path / "cache")
    assert (local / NETWORK_FILE).read_bytes() == b"one"
    assert (local / "checkpoints" / "checkpoint_0001.weights.h5").read_bytes() == b"oneone"
    assert read_card(local / CARD_FILE) == card()


def test_files_are_copied_once(tmp_path: Path) -> None:
    path = store("memory", tmp_path) / "trained_model"
    publish_folder(path, writer(b"one", card()))
    model = ModelFolder.open(path)
    first = model.local_path(tmp_path / "cache")
    times = {file: file.stat().st_mtime_ns for file in first.rglob("*") if file.is_file()}
    assert len(times) >= 3
    assert model.local_path(tmp_path / "cache") == first
    assert {file: file.stat().st_mtime_ns for file in times} == times


def test_a_model_without_a_readable_card_is_refused(tmp_path: Path) -> None:
    publish_folder(tmp_path / "m", writer(b"one", None))
    with pytest.raises(StoreError, match="model card cannot be read"):
        ModelFolder.open(tmp_path / "m")
    for damage in (b"", b'{"network": "cnn"', b'{"network": "cnn"}', b"\xff"):
        (tmp_path / "m" / CARD_FILE).write_bytes(damage)
        with pytest.raises(StoreError, match="model card cannot be read") as caught:
            ModelFolder.open(tmp_path / "m")
        assert caught.value.problems[0].where.endswith(CARD_FILE)


def test_cards_survive_writing(tmp_path: Path) -> None:
    full = card(epochs=3, best_epoch=2, plates=("P1",), trained_on="x", checkpoint="c.hdf5")
    write_card(tmp_path, full)
    assert read_card(tmp_path / CARD_FILE) == full
    assert card_facts(full)["channels"] == ["DNA", "ER", "RNA"]
    assert ModelCard.model_validate(card_facts(full)) == full


def test_cards_of_earlier_versions_are_read(tmp_path: Path) -> None:
    since = {
        "mode",
        "view_size",
        "mask_objects",
        "masks",
        "repeats_channels",
        "augmented",
        "heads",
    }
    older = {name: value for name, value in card_facts(card()).items() if name not in since}
    (tmp_path / CARD_FILE).write_text(json.dumps(older))
    assert read_card(tmp_path / CARD_FILE) == card()
