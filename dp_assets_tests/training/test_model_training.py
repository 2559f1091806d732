"""From crop stores to a published model, through interruptions and requests for more epochs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dp_assets.config.sections import PartitionSettings
from dp_assets.imaging.cropping import CropGeometry
from dp_assets.imaging.plate_crops import CropPlan, export_crops
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.folders import FolderWriter, publish_folder
from dp_assets.storage.model_folder import ModelFolder
from dp_assets.storage.work import WorkFolder
from dp_assets.training.crop_supply import StoreSupply
from dp_assets.training.model_loading import load_trained_network
from dp_assets.training.model_plan import TrainingPlan
from dp_assets.training.model_training import last_scores, train_model
from dp_assets.training.normalized_crops import normalized
from dp_assets.training.outcome import EpochReport, TrainingOutcome
from dp_assets.training.training_set import Partition, build_training_set
from dp_assets_tests.made_plates import KilledError, MadePlate, options, tiny_plate
from dp_assets_tests.training.synthetic import BOX, training_settings

GEOMETRY = CropGeometry(BOX, margin=1)
CHANNELS = ("DNA", "RNA")


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> MadePlate:
    return tiny_plate(tmp_path_factory.mktemp("project"), channels=CHANNELS, cells_per_site=6)


@pytest.fixture(scope="module")
def store(plate: MadePlate, tmp_path_factory: pytest.TempPathFactory) -> CropStore:
    folder = tmp_path_factory.mktemp("store")
    plan = CropPlan(plate.sites(), CHANNELS, plate.cells(), GEOMETRY, (64, 80), "uint16")
    publish_folder(folder / "P1", export_crops(plan, **options(WorkFolder(folder / "w")))[0])
    return CropStore.open(folder / "P1")


def plan_of(plate: MadePlate, store: CropStore, **network: Any) -> TrainingPlan:
    partition = PartitionSettings(
        targets=("Treatment",), split_field="Split", training=("training",), validation=("validation",)
    )
    settings = training_settings(**{"epochs": 2, "params": {"feature_dim": 4}, **network})
    images = settings.images.model_copy(update={"channels": CHANNELS})
    supply = StoreSupply({plate.plate: store}, CHANNELS, GEOMETRY, "minmax")
    return TrainingPlan(
        settings=settings.model_copy(update={"partition": partition, "images": images}),
        training_set=build_training_set(
            {plate.plate: plate.annotations()},
            {plate.plate: supply.listing(plate.plate)},
            Partition("Treatment", "Split", ("training",), ("validation",)),
        ),
        supply=supply,
        plate_ranges={},
    )


def train(
    plan: TrainingPlan,
    work: Path,
    published: Path | None = None,
    progress: Callable[[EpochReport], None] = lambda _: None,
) -> tuple[FolderWriter, TrainingOutcome]:
    return train_model(
        plan,
        content="made of cells",
        work=work,
        published=published,
        xla=False,
        progress=progress,
        finished=WorkFolder(work).clear,
    )


def losses(folder: Path) -> list[float]:
    return pd.read_csv(folder / "log.csv")["loss"].tolist()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_training_publishing_and_going_on(plate: MadePlate, store: CropStore, tmp_path: Path) -> None:
    plan = plan_of(plate, store)
    writer, outcome = train(plan, tmp_path / "w")
    assert (outcome.epochs, outcome.resumed_from) == (2, 0)
    publish_folder(tmp_path / "model", writer)
    model = ModelFolder.open(tmp_path / "model")
    card = model.card
    assert model.fingerprint == card.trained_on == "made of cells"
    assert (card.network, card.conv_blocks, card.source, card.epochs) == ("cnn", 1, "train", 2)
    assert (card.channels, card.box_size, card.input_size, card.bits) == (CHANNELS, BOX, BOX, 16)
    assert (card.normalization, card.sampling, card.precision) == ("minmax", "original", "float32")
    assert (card.classes, card.plates) == (plan.training_set.classes, (plate.plate,))
    assert "features" in card.layers
    assert {"keras", "numpy", "dp-assets"} <= set(card.versions)
    assert card.scores["loss"] == pytest.approx(losses(tmp_path / "model")[-1])
    assert {"val_loss", "accuracy", "val_accuracy"} <= set(card.scores)
    names = set(contents(tmp_path / "model"))
    assert {"model.keras", "model_card.json", "log.csv", "MANIFEST.json", "resume.npz"} <= names
    assert {f"checkpoints/checkpoint_000{n}.weights.h5" for n in (1, 2)} <= names
    assert not [name for name in names if Path(name).name.startswith(".")]

    # The process may die before the work folder is cleared: what was published must not change any more.
    before, losses_before = contents(tmp_path / "model"), losses(tmp_path / "model")
    longer = plan_of(plate, store, epochs=3)
    _, outcome = train(longer, tmp_path / "w", published=tmp_path / "model")
    assert (outcome.epochs, outcome.resumed_from) == (3, 2)
    assert contents(tmp_path / "model") == before

    writer.finished()
    assert not (tmp_path / "w").exists()
    again, outcome = train(longer, tmp_path / "w", published=tmp_path / "model")
    assert (outcome.epochs, outcome.resumed_from) == (3, 2)
    assert contents(tmp_path / "model") == before
    publish_folder(tmp_path / "model", again)
    assert losses(tmp_path / "model")[:2] == pytest.approx(losses_before)
    assert ModelFolder.open(tmp_path / "model").card.epochs == 3
    crops = normalized(plan.labelled(plan.training_set.cells, training=False).crops).read(np.arange(5))
    probabilities = np.asarray(load_trained_network(tmp_path / "model")(crops))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_a_killed_training_goes_on_where_it_was(plate: MadePlate, store: CropStore, tmp_path: Path) -> None:
    plan = plan_of(plate, store)
    train(plan, tmp_path / "undisturbed")

    def kill(report: EpochReport) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        train(plan, tmp_path / "w", progress=kill)
    epochs: list[int] = []
    _, outcome = train(plan, tmp_path / "w", progress=lambda report: epochs.append(report.epoch))
    assert (epochs, outcome.resumed_from) == ([2], 1)
    assert losses(tmp_path / "w") == pytest.approx(losses(tmp_path / "undisturbed"), rel=1e-5)


def test_a_published_model_that_was_half_copied_is_copied_again(
    plate: MadePlate, store: CropStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(plate, store, epochs=1)
    writer, _ = train(plan, tmp_path / "first")
    publish_folder(tmp_path / "model", writer)

    def half_copied(source: Path, target: Path, **_: Any) -> None:
        target.mkdir()
        (target / "log.csv").write_text("epo")
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copytree", half_copied)
        with pytest.raises(KilledError):
            train(plan, tmp_path / "w", published=tmp_path / "model")
    assert not (tmp_path / "w").exists()
    epochs: list[int] = []
    _, outcome = train(
        plan,
        tmp_path / "w",
        published=tmp_path / "model",
        progress=lambda report: epochs.append(report.epoch),
    )
    assert (epochs, outcome.resumed_from) == ([], 1)


@pytest.mark.parametrize(("frame", "expected"), [("train", "training"), ("val", "validation"), ("all", None)])
def test_which_cells_judge(
    plate: MadePlate,
    store: CropStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    frame: str,
    expected: str,
) -> None:
    plan = plan_of(plate, store)
    validation = plan.settings.validation.model_copy(update={"frame": frame})
    plan = replace(plan, settings=plan.settings.model_copy(update={"validation": validation}))
    asked: dict[str, Any] = {}

    def catch(**arguments: Any) -> None:
        asked.update(arguments)
        raise KilledError

    monkeypatch.setattr("dp_assets.training.model_training.train_network", catch)
    with pytest.raises(KilledError):
        train(plan, tmp_path / "w")
    whole = plan.training_set
    chosen = whole.cells if expected is None else whole.part(expected)
    assert asked["validation"].labels.tolist() == chosen["class_index"].to_pylist()
    assert asked["training"].labels.tolist() == whole.part("training")["class_index"].to_pylist()
    sites = list(zip(*(chosen[f"Metadata_{n}"].to_pylist() for n in ("Well", "Site")), strict=True))
    numbers = asked["validation"].images.tolist()
    for first in range(len(sites)):
        for second in range(first):
            assert (numbers[first] == numbers[second]) == (sites[first] == sites[second])
    assert (asked["content"], asked["heads"]) == (plan.content, whole.heads)
    assert (asked["start_from"], asked["imagenet_weights"]) == (None, None)


def test_last_scores_are_the_last_that_there_were() -> None:
    history = pd.DataFrame(
        {
            "epoch": [1, 2],
            "loss": [3.0, 2.0],
            "val_loss": [4.0, None],
            "seconds": [1.0, 1.0],
            "x": [1.0, np.inf],
        }
    )
    assert last_scores(history) == {"loss": 2.0, "val_loss": 4.0}
