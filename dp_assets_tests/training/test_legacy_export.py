"""A trained model handed on: its checkpoint brings back the same network, its card the same crops."""

from pathlib import Path

import numpy as np
import pytest

from dp_assets.config.errors import ModelError, StoreError
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets.storage.card_check import require_card
from dp_assets.storage.checkpoint_card import find_card
from dp_assets.storage.model_folder import write_card
from dp_assets.training.checkpoint_files import write_checkpoint
from dp_assets.training.import_plan import ImportPlan
from dp_assets.training.legacy_export import export_checkpoint
from dp_assets.training.model_card_making import card_of
from dp_assets.training.model_import import import_model
from dp_assets.training.model_loading import load_trained_network
from dp_assets_tests.profiling_settings import profiling_settings
from dp_assets_tests.training.synthetic import BOX, training_settings


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder with a checkpoint of an earlier epoch."""
    settings = training_settings()
    folder = tmp_path / "model"
    folder.mkdir()
    request = {"name": "cnn", "input_shape": (BOX, BOX, 2), "classes": 3, "conv_blocks": 1, "feature_dim": 8}
    early, late = (build_network(NetworkRequest(**request, target="Treatment", seed=n)) for n in (1, 2))
    write_checkpoint(folder, early, 1)
    late.save(folder / "model.keras")
    card = card_of(late, settings, name="cnn", conv_blocks=1, precision="float32", source="train", epochs=2)
    assert card.augmented
    write_card(folder, card)
    return folder


@pytest.mark.parametrize("checkpoint", [None, "checkpoint_0001.hdf5"])
def test_an_exported_model_comes_back_the_same(model: Path, tmp_path: Path, checkpoint: str | None) -> None:
    target = tmp_path / "exported" / "mine.hdf5"
    export_checkpoint(model, target, checkpoint)
    card = find_card(target)
    assert card is not None
    settings = profiling_settings("DNA", "ER", box_size=BOX, conv_blocks=1, feature_dim=8)
    assert require_card(card.facts, settings, "here") == (0, 1)
    swapped = profiling_settings("ER", "DNA", box_size=BOX, conv_blocks=1, feature_dim=8)
    with pytest.raises(ModelError, match="takes channels DNA, ER, in this order"):
        require_card(card.facts, swapped, "here")
    writer, report = import_model(ImportPlan(settings, target, card=card))
    assert (report.skipped, report.missing) == ((), ())
    folder = tmp_path / "again"
    folder.mkdir()
    writer.fill(folder)
    again, before = load_trained_network(folder), load_trained_network(model, checkpoint)
    for mine, theirs in zip(again.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_what_is_not_there_is_not_exported(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no checkpoint 'checkpoint_0007'"):
        export_checkpoint(model, tmp_path / "c.hdf5", "checkpoint_0007")
    with pytest.raises(StoreError, match="model card cannot be read"):
        export_checkpoint(tmp_path, tmp_path / "c.hdf5")
    assert not (tmp_path / "c.hdf5").exists()
