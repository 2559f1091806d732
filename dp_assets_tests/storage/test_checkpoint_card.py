"""Cards of checkpoint files: beside the file, published, and every way such a file can be wrong."""

import json
from pathlib import Path

import pytest

from dp_assets.config.errors import ModelError
from dp_assets.config.experiment import load_experiment
from dp_assets.storage.card_check import card_problems
from dp_assets.storage.checkpoint_card import CheckpointCard, card_path, find_card


def write(checkpoint: Path, text: str | bytes) -> None:
    card_path(checkpoint).write_bytes(text.encode() if isinstance(text, str) else text)


def test_a_file_without_a_card_has_none(tmp_path: Path) -> None:
    assert find_card(tmp_path / "checkpoint_0030.hdf5") is None


def test_the_card_beside_a_file_is_found(tmp_path: Path) -> None:
    checkpoint = tmp_path / "mine.hdf5"
    write(checkpoint, json.dumps({"channels": ["A", "B"], "box_size": 96, "mask_objects": True}))
    assert (tmp_path / "mine.hdf5.card.json").exists()
    card = find_card(checkpoint)
    assert card == CheckpointCard(channels=("A", "B"), box_size=96, mask_objects=True)
    assert card.facts == {"channels": ("A", "B"), "box_size": 96, "mask_objects": True}


@pytest.mark.parametrize("name", ["Cell_Painting_CNN_v1.hdf5", "cell_painting_cnn_V1.HDF5"])
def test_the_published_network_has_a_card(tmp_path: Path, name: str) -> None:
    card = find_card(tmp_path / name)
    assert card is not None
    assert card.channels == ("DNA", "RNA", "ER", "AGP", "Mito")
    assert (card.network, card.conv_blocks, card.box_size, card.bits) == ("efficientnet", 0, 128, 8)
    assert (card.normalization, card.mask_objects, card.feature_layer) == (
        "minmax",
        False,
        "block6a_activation",
    )
    assert not {"about", "feature_layer"} & card.facts.keys()


def test_a_card_beside_a_published_network_overrides_what_it_gives(tmp_path: Path) -> None:
    checkpoint = tmp_path / "Cell_Painting_CNN_v1.hdf5"
    published = find_card(checkpoint)
    names = ("OrigDNA", "OrigRNA", "OrigER", "OrigAGP", "OrigMito")
    write(checkpoint, json.dumps({"channels": names}))
    card = find_card(checkpoint)
    assert card is not None
    assert published is not None
    assert card.facts == {**published.facts, "channels": names}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "the file"),
        ("{", "the file"),
        ("[1]", "the file"),
        ('{"chanels": ["DNA"]}', "chanels"),
        ('{"box_size": "large"}', "box_size"),
        ('{"bits": 12}', "bits"),
        ('{"normalization": "sqrt"}', "normalization"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_file_that_is_no_card_is_refused(tmp_path: Path, text: str | bytes, named: str) -> None:
    write(tmp_path / "c.hdf5", text)
    with pytest.raises(ModelError, match="not the card of a checkpoint") as caught:
        find_card(tmp_path / "c.hdf5")
    [problem] = caught.value.problems
    assert problem.where == str(tmp_path / "c.hdf5.card.json")
    assert named in problem.what
    assert "feature_layer" in problem.remedy


def test_published_configurations_fit_the_published_network(shared: Path) -> None:
    published = find_card(Path("Cell_Painting_CNN_v1.hdf5"))
    assert published is not None
    name = "DeepProfilerExperiments__resources_config_cell_painting_cnn_profiling_example.json"
    settings = load_experiment(shared / "reference" / "configs" / name).profiling()
    assert card_problems(published.facts, settings, name) == []
    golden = load_experiment(shared / "golden" / "inputs" / "config" / "config.json").profiling()
    problems = card_problems(published.facts, golden, "config.json")
    assert "box_size 128, the configuration 96" in problems[0].what
    assert "the images offer DNA, ER, RNA, AGP, Mito" in problems[1].what
