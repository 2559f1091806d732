"""Training straight from images, on random views, of several targets: the graph, and what is stale when."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile

from dp_assets.orchestration.code_location import build_defs
from dp_assets.storage.model_folder import ModelFolder
from dp_assets_tests.orchestration.materializing import INDEX, MODEL, TABLES, Workshop
from dp_assets_tests.orchestration.test_graph import snapshot

FIRST, SECOND = "TINY00001", "TINY00002"
IMAGES = ("illumination_functions", "compressed_images")


def trained_by(generator: str, *, mode: str = "single_cells", **locations: Any) -> Callable[[dict], None]:
    """The experiment `cnn` with another crop generator, small and without augmentation."""

    def change(data: dict) -> None:
        data["dataset"]["locations"].update(mode=mode, **locations)
        data["train"]["model"].update(crop_generator=generator, augmentations=False)
        data["train"]["model"]["params"].update(conv_blocks=1, feature_dim=4)

    return change


@pytest.fixture(scope="module")
def prepared_template(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables and compressed images of both plates, no crop store; the experiment cuts crops itself."""
    root = shutil.copytree(tiny_template, tmp_path_factory.mktemp("prepared") / "project")
    workshop = Workshop(root)
    workshop.configure(trained_by("crop_generator"))
    assert workshop.make(*INDEX).succeeded
    for plate in (FIRST, SECOND):
        assert workshop.make(*TABLES, *IMAGES, plate=plate).succeeded
    return root


@pytest.fixture
def prepared(prepared_template: Path, tmp_path: Path) -> Workshop:
    """Such a project of its own, its plates registered."""
    workshop = Workshop(shutil.copytree(prepared_template, tmp_path / "project"))
    assert workshop.make(*INDEX).succeeded
    return workshop


def training_set(workshop: Workshop) -> Any:
    return pq.read_table(workshop.root / "outputs" / "cnn" / "training_set.parquet")


@pytest.mark.parametrize(
    ("change", "compression", "parents"),
    [
        (trained_by("crop_generator"), True, {"plate_images", "cell_locations", "compressed_images"}),
        (trained_by("crop_generator"), False, {"plate_images", "cell_locations"}),
        (
            trained_by("crop_generator", mask_objects=True),
            True,
            {"plate_images", "cell_locations", "compressed_images", "plate_outlines"},
        ),
        (
            trained_by("full_image_crop_generator", mode="full_image", view_size=64),
            True,
            {"plate_images", "compressed_images"},
        ),
        (
            trained_by("sampled_crop_generator", mode="full_image", view_size=64),
            True,
            {"single_cells/view64_box32"},
        ),
        (trained_by("online_labels_cropgen"), True, {"single_cells/box32"}),
        (trained_by("my_plugin"), True, {"single_cells/box32"}),
    ],
)
def test_what_a_training_set_is_drawn_from(
    tiny: Workshop, change: Callable[[dict], None], compression: bool, parents: set[str]
) -> None:
    tiny.configure(change)
    tiny.configure(lambda data: data["prepare"]["compression"].update(implement=compression))
    graph = snapshot(tiny.root)
    assert graph["cnn/training_set"].parents == {"plate_annotations", *parents}
    assert graph["cnn/trained_model"].parents == {"cnn/training_set"}


def test_training_straight_from_images(prepared: Workshop) -> None:
    run = prepared.make(*MODEL)
    assert run.succeeded, run.failures
    assert not (prepared.root / "outputs" / "single_cells").exists()
    assert run.metadata["cnn/training_set"]["drawn_from"] == "images: crops are cut while training"
    model = ModelFolder.open(prepared.root / "outputs" / "cnn" / "trained_model")
    assert model.card.plates == (FIRST, SECOND)
    assert model.card.scores["loss"] > 0
    again = prepared.make(*MODEL)
    assert (again.recomputed, again.versions) == (set(), run.versions)
    cells = training_set(prepared)
    lines = (prepared.root / "inputs" / "metadata" / "index.csv").read_text(encoding="utf-8").splitlines()
    header = lines[0].split(",")
    columns = [header.index(name) for name in ("Metadata_Plate", "Metadata_Well", "Treatment", "Split")]
    expected = {tuple(np.array(line.split(","))[columns].tolist()) for line in lines[1:]}
    names = ("Metadata_Plate", "Metadata_Well", "target", "split")
    assert set(zip(*(cells[name].to_pylist() for name in names), strict=True)) == expected
    # The same cells as from the crop stores, in the same order.
    prepared.configure(trained_by("sampled_crop_generator"))
    for plate in (FIRST, SECOND):
        assert prepared.make("single_cells/box32", plate=plate).succeeded
    assert prepared.make("cnn/training_set").succeeded
    assert training_set(prepared).equals(cells)
    prepared.configure(trained_by("crop_generator"))
    assert_failed(prepared.make("cnn/trained_model"), "changed after the training set was made")


def assert_failed(run: Any, *said: str) -> None:
    assert not run.succeeded
    for text in said:
        assert text in run.message


def test_raw_images_outside_the_split_do_not_count(tiny: Workshop) -> None:
    tiny.configure(trained_by("crop_generator"))
    tiny.configure(lambda data: data["prepare"]["compression"].update(implement=False))
    tiny.rewrite_index(
        lambda lines: [
            line.replace(",validation,", ",held out,") if line.startswith(f"{SECOND},A04,") else line
            for line in lines
        ]
    )
    tiny.make(*INDEX)
    for plate in (FIRST, SECOND):
        assert tiny.make(*TABLES, plate=plate).succeeded
    made = tiny.make(*MODEL)
    assert made.succeeded, made.failures

    change_pixel(tiny.root, "A04_s1_Mito.tiff")
    assert tiny.make(*TABLES, plate=SECOND).succeeded
    assert tiny.make("cnn/training_set").versions["cnn/training_set"] == made.versions["cnn/training_set"]
    assert tiny.make("cnn/trained_model").recomputed == set()

    change_pixel(tiny.root, "A03_s1_Mito.tiff")
    assert tiny.make(*TABLES, plate=SECOND).succeeded
    assert_failed(
        tiny.make("cnn/trained_model"), f"the images of plate {SECOND} changed", "training_set again"
    )
    after = tiny.make(*MODEL)
    assert after.recomputed == {"cnn/trained_model"}
    assert all(after.versions[name] != made.versions[name] for name in MODEL)


def change_pixel(root: Path, name: str) -> None:
    path = root / "inputs" / "images" / SECOND / name
    pixels = tifffile.imread(path)
    pixels[64, 64] += 1
    tifffile.imwrite(path, pixels)


def test_training_on_random_views(tiny: Workshop) -> None:
    tiny.configure(trained_by("full_image_crop_generator", mode="full_image", view_size=64, box_size=32))
    tiny.make(*INDEX)
    assert_failed(tiny.make("cnn/training_set"), "no plate is ready", "plate_images", "compressed_images")
    tiny.make("plate_images", "plate_annotations", plate=FIRST)
    assert_failed(
        tiny.make("cnn/training_set"),
        f"plate {FIRST} is in the split, but its compressed_images is not there",
        "job prepare",
    )
    assert tiny.make(*IMAGES, plate=FIRST).succeeded
    run = tiny.make(*MODEL)
    assert run.succeeded, run.failures
    cells = training_set(tiny)
    assert cells["Metadata_Cell"].to_pylist() == ["0"] * 4
    assert cells["Metadata_Well"].to_pylist() == ["A01", "A02", "A03", "A04"]
    assert run.metadata["cnn/training_set"]["training_cells"] == 2
    card = ModelFolder.open(tiny.root / "outputs" / "cnn" / "trained_model").card
    assert {"val_loss", "loss"} <= set(card.scores)


def test_several_targets(prepared: Workshop) -> None:
    def with_second_target(lines: list[str]) -> list[str]:
        values = {"A01": "low", "A02": "high", "A03": "low", "A04": ""}
        rows = [f"{line},{values[line.split(',')[1]]}" for line in lines[1:]]
        return [f"{lines[0]},Density", *rows]

    prepared.rewrite_index(with_second_target)
    prepared.configure(lambda data: data["train"]["partition"].update(targets=["Treatment", "Density"]))
    prepared.make(*INDEX)
    for plate in (FIRST, SECOND):
        assert prepared.make("plate_annotations", plate=plate).succeeded
    run = prepared.make(*MODEL)
    assert run.succeeded, run.failures
    cells = training_set(prepared)
    assert cells.column_names[-2:] == ["target_2", "class_index_2"]
    assert set(zip(cells["target_2"].to_pylist(), cells["class_index_2"].to_pylist(), strict=True)) == {
        ("high", 0),
        ("low", 1),
    }
    assert "A04" not in cells["Metadata_Well"].to_pylist()
    facts = run.metadata["cnn/training_set"]
    assert facts["classes_of_Density"] == 2
    assert "without a value of Density" in facts["cells_left_out"]
    card = ModelFolder.open(prepared.root / "outputs" / "cnn" / "trained_model").card
    assert card.heads == {"Treatment": card.classes, "Density": ("high", "low")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (trained_by("repeat_channel_crop_generator"), "is for profiling only"),
        (trained_by("full_image_crop_generator"), "draws views of whole images"),
    ],
)
def test_generators_that_cannot_train_say_so(
    tiny: Workshop, change: Callable[[dict], None], said: str
) -> None:
    tiny.configure(change)
    tiny.make(*INDEX)
    assert_failed(tiny.make("cnn/training_set"), said, "train.model.crop_generator")

    def only_profile(data: dict) -> None:
        data["profile"]["checkpoint"] = "Cell_Painting_CNN_v1.hdf5"

    tiny.configure(only_profile)
    assert "cnn/cell_features" in snapshot(tiny.root), "nothing is trained, so nothing is refused"


def test_weights_to_start_from(prepared: Workshop, tmp_path: Path) -> None:
    assert prepared.make("cnn/training_set").succeeded
    prepared.configure(lambda data: data.update(model={"start_from": "first.weights.h5"}))
    assert_failed(
        prepared.make("cnn/trained_model"), "there is no checkpoint 'first.weights.h5'", "model.start_from"
    )
    prepared.configure(lambda data: data.pop("model"))
    trained = prepared.make("cnn/trained_model")
    weights = next((prepared.root / "outputs" / "cnn" / "trained_model" / "checkpoints").iterdir())
    target = prepared.root / "inputs" / "pretrained" / "first.weights.h5"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(weights.read_bytes())
    prepared.configure(lambda data: data.update(model={"start_from": "first.weights.h5"}))
    started = prepared.make("cnn/trained_model")
    assert started.succeeded, started.failures
    assert started.recomputed == {"cnn/trained_model"}
    assert started.versions != trained.versions
    assert prepared.make("cnn/trained_model").recomputed == set()


def test_a_box_of_another_size_is_another_training_set(tiny: Workshop) -> None:
    tiny.configure(trained_by("crop_generator"))
    versions = [code_version(tiny.root)]
    tiny.configure(lambda data: data["dataset"]["locations"].update(box_size=24))
    versions.append(code_version(tiny.root))
    tiny.configure(trained_by("sampled_crop_generator"))
    versions.append(code_version(tiny.root))
    assert len(set(versions)) == 3


def code_version(root: Path) -> str | None:
    graph = build_defs(root).resolve_asset_graph()
    (key,) = (key for key in graph.get_all_asset_keys() if key.path[-1] == "training_set")
    return graph.get(key).code_version
