"""What models are made from: any change of it shows, and checkpoints are found where they may lie only."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.training.model_plan import TrainingPlan, find_weights, learning_digest
from dp_assets.training.training_set import TrainingSet
from dp_assets_tests.training.synthetic import training_settings

RANGE = (np.zeros(2), np.ones(2))


def training_plan(**changes: Any) -> TrainingPlan:
    facts: dict[str, Any] = {
        "settings": training_settings(),
        "training_set": training_set("DMSO", "Taxol"),
        "supply": Supply({"P1": "x", "P2": "y"}),
        "plate_ranges": {},
    }
    return TrainingPlan(**{**facts, **changes})


class Supply:
    """Crops, as far as what they are made from."""

    def __init__(self, made_of: dict[str, str]) -> None:
        self.made_of = made_of

    def fingerprints(self, cells: pa.Table) -> dict[str, str]:
        assert "target" in cells.column_names
        return self.made_of


def training_set(*targets: str) -> TrainingSet:
    return TrainingSet(pa.table({"target": pa.array(targets)}), (("Treatment", ("DMSO", "Taxol")),), {})


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": training_settings(epochs=4)},
        {"settings": training_settings(params={"learning_rate": 0.02})},
        {"supply": Supply({"P1": "x", "P2": "z"})},
        {"supply": Supply({"P1": "x"})},
        {"plate_ranges": {"P1": RANGE}},
        {"precision": "mixed_bfloat16"},
    ],
)
def test_whatever_a_training_depends_on_shows(changes: dict[str, Any]) -> None:
    before = training_plan().fingerprint("cells")
    assert training_plan().fingerprint("cells") == before
    assert training_plan(**changes).fingerprint("cells") != before
    assert training_plan().fingerprint("other cells") != before


def test_pixels_alone_decide_the_fingerprint_of_the_crops() -> None:
    before = training_plan(plate_ranges={"P1": RANGE}).crops_fingerprint
    assert training_plan(plate_ranges={"P1": RANGE}, precision="x").crops_fingerprint == before
    brighter = (RANGE[0], RANGE[1] + 1)
    assert training_plan(plate_ranges={"P1": brighter}).crops_fingerprint != before
    reordered = Supply({"P2": "y", "P1": "x"})
    assert training_plan(supply=reordered).crops_fingerprint == training_plan().crops_fingerprint


def test_weights_that_training_starts_from_count_by_content(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("a.hdf5", "b.hdf5", "c.hdf5"))
    for path, data in ((one, b"1"), (same, b"1"), (other, b"2")):
        path.write_bytes(data)
    plans = [training_plan(), *(training_plan(start_from=path) for path in (one, same, other))]
    assert len({plan.fingerprint("cells") for plan in plans}) == 3
    assert plans[1].fingerprint("cells") == plans[2].fingerprint("cells")
    imagenet = [training_plan(imagenet_weights=path).fingerprint("cells") for path in (one, same, other)]
    assert imagenet[0] == imagenet[1] != imagenet[2]


def test_a_training_goes_on_with_the_same_labels_and_crops_only() -> None:
    before = training_plan()
    assert training_plan(settings=training_settings(epochs=9)).content == before.content
    assert training_plan(training_set=training_set("Taxol", "DMSO")).content != before.content
    assert training_plan(supply=Supply({"P1": "x"})).content != before.content


def test_checkpoints_are_found_in_order(tmp_path: Path) -> None:
    folders = [tmp_path / "checkpoint", tmp_path / "pretrained"]
    for folder in folders:
        (folder / "deep").mkdir(parents=True)
    (folders[1] / "c.hdf5").write_bytes(b"")
    (folders[1] / "deep" / "d.hdf5").write_bytes(b"")
    assert find_weights("c.hdf5", folders) == folders[1] / "c.hdf5"
    assert find_weights("deep/d.hdf5", folders) == folders[1] / "deep" / "d.hdf5"
    (folders[0] / "c.hdf5").write_bytes(b"")
    assert find_weights("c.hdf5", folders) == folders[0] / "c.hdf5"
    for name in ("e.hdf5", "deep", ""):
        with pytest.raises(ModelError, match="there is no checkpoint") as caught:
            find_weights(name, folders)
        assert all(str(folder / name) in caught.value.problems[0].remedy for folder in folders)


@pytest.mark.parametrize("name", ["../c.hdf5", "deep/../../c.hdf5", "..\\c.hdf5", "{}/c.hdf5"])
def test_checkpoints_outside_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "pretrained"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "c.hdf5").write_bytes(b"")
    with pytest.raises(ModelError, match="leads out of the folders") as caught:
        find_weights(name.format(tmp_path), [folder])
    assert caught.value.problems[0].where == "profile.checkpoint"


def test_how_crops_are_read_decides_nothing() -> None:
    settings = training_settings()
    hurried = settings.model_copy(
        update={
            "sampling": settings.sampling.model_copy(update={"workers": 7, "cache_size": 9}),
            "images": settings.images.model_copy(update={"width": 4321, "file_format": "png"}),
        }
    )
    assert learning_digest(hurried) == learning_digest(settings)
    halved = settings.sampling.model_copy(update={"factor": 0.5})
    assert learning_digest(settings.model_copy(update={"sampling": halved})) != learning_digest(settings)
    renamed = settings.images.model_copy(update={"channels": ("other",)})
    assert learning_digest(settings.model_copy(update={"images": renamed})) != learning_digest(settings)
