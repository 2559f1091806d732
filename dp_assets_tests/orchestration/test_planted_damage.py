"""Damage planted in a tiny project: the check that is meant for it fails, and stops what would be misled."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage

from dp_assets.config.checks import USUAL_SEVERITY
from dp_assets_tests.orchestration.materializing import INDEX, TABLES, Workshop

FIRST, SECOND = "TINY00001", "TINY00002"
QUALITY = "image_quality"


def images(workshop: Workshop, plate: str, well: str, channel: str) -> list[Path]:
    folder = workshop.root / "inputs" / "images" / plate
    found = sorted(folder.glob(f"{well}_s*_{channel}.tiff"))
    assert found
    return found


def change(paths: list[Path], how: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in paths:
        tifffile.imwrite(path, how(tifffile.imread(path)))


def exchange(first: list[Path], second: list[Path]) -> None:
    for one, other in zip(first, second, strict=True):
        aside = one.with_suffix(".aside")
        one.rename(aside)
        other.rename(one)
        aside.rename(other)


def blur(image: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(image.astype(float), 3).astype(image.dtype)


def clip(image: np.ndarray) -> np.ndarray:
    # A tenth of the pixels lies beyond a 12-bit camera's range.
    gain = 4095 / np.percentile(image, 90)
    return np.minimum(image * gain, 4095).astype(image.dtype)


def noise_only(image: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).normal(np.median(image), 4, image.shape).astype(image.dtype)


@pytest.fixture
def screen(write_project: Callable[..., Workshop]) -> Workshop:
    """Two plates of eight wells with two fields of view each, registered."""
    workshop = write_project(wells=8, sites_per_well=2)
    assert workshop.make(*INDEX).succeeded
    return workshop


def test_damaged_images_are_named_and_a_good_plate_has_none(screen: Workshop) -> None:
    good = screen.make("plate_images", "cell_locations", QUALITY, plate=FIRST)
    assert good.succeeded
    assert not set(good.failed_checks) & set(USUAL_SEVERITY)
    change(images(screen, FIRST, "A02", "RNA"), blur)
    change(images(screen, FIRST, "A03", "DNA"), clip)
    change(images(screen, FIRST, "A05", "Mito"), noise_only)
    exchange(images(screen, FIRST, "A07", "DNA"), images(screen, FIRST, "A07", "Mito"))
    run = screen.make("plate_images", QUALITY, plate=FIRST)
    assert run.succeeded
    assert run.recomputed == {QUALITY}
    failed = run.failed_checks
    blurred = {(row["well"], row["channel"]) for row in failed["fields_in_focus"]["images"]}
    # An image under another channel's name is not as sharp as that channel usually is, either.
    assert ("A02", "RNA") in blurred
    assert blurred <= {("A02", "RNA"), ("A07", "DNA"), ("A07", "Mito")}
    saturated = failed["fields_not_saturated"]["images"]
    assert {(row["well"], row["channel"]) for row in saturated} == {("A03", "DNA")}
    empty = failed["fields_not_empty"]["images"]
    assert {(row["well"], row["channel"]) for row in empty} == {("A05", "Mito")}
    exchanged = failed["channels_in_order"]["fields"]
    assert {(row["well"], row["exchanged"]) for row in exchanged} == {("A07", "DNA and Mito")}


def test_channels_exchanged_on_a_whole_plate_are_found_beside_an_earlier_one(screen: Workshop) -> None:
    assert "channels_in_order" not in screen.make("plate_images", QUALITY, plate=FIRST).failed_checks
    for well in range(1, 9):
        name = f"A{well:02d}"
        exchange(images(screen, SECOND, name, "DNA"), images(screen, SECOND, name, "RNA"))
    run = screen.make("plate_images", "cell_locations", QUALITY, plate=SECOND)
    assert run.failed_checks["channels_in_order"]["exchanged_on_the_whole_plate"] == "DNA and RNA"


def test_a_threshold_changes_the_verdict_and_recomputes_nothing(screen: Workshop) -> None:
    before = screen.make("plate_images", "cell_locations", QUALITY, plate=FIRST)
    screen.root.joinpath("project.yaml").write_text(
        "checks:\n  blur_slope: -0.1\n  severity:\n    fields_in_focus: block\n    cell_counts_usual: off\n",
        encoding="utf-8",
    )
    after = screen.make("plate_images", "cell_locations", QUALITY, plate=FIRST)
    assert after.versions == before.versions
    assert after.recomputed == set()
    assert "fields_in_focus" in after.failed_checks
    # What blocks fails the run.
    assert not after.succeeded


def test_locations_with_x_and_y_exchanged_stop_the_crops(screen: Workshop) -> None:
    for path in (screen.root / "inputs" / "locations" / FIRST).iterdir():
        table = pd.read_csv(path)
        x, y = "Nuclei_Location_Center_X", "Nuclei_Location_Center_Y"
        table.rename(columns={x: y, y: x}).to_csv(path, index=False)
    crops = "single_cells/box32"
    run = screen.make(*TABLES, "illumination_functions", "compressed_images", crops, plate=FIRST)
    assert not run.succeeded
    assert "centres_on_nuclei" in run.failed_checks
    assert "cell_locations" in run.metadata
    assert "compressed_images" in run.metadata
    assert crops not in run.metadata


def test_a_well_in_both_splits_keeps_a_model_from_being_trained(finished: Workshop) -> None:
    """And does not, where the project says that it is meant."""
    folder = finished.root / "inputs" / "images" / FIRST
    for path in sorted(folder.glob("A03_*")):
        shutil.copy(path, folder / path.name.replace("A03", "A01"))
    assert finished.make("plate_images", plate=FIRST).succeeded
    copied = finished.make("cnn/training_set", "cnn/trained_model")
    assert not copied.succeeded
    (shared,) = copied.failed_checks["images_in_one_split"]["shared"]
    assert shared == {"training": f"{FIRST}/A01/1", "validation": f"{FIRST}/A03/1"}
    assert "cnn/trained_model" not in copied.metadata
    finished.root.joinpath("project.yaml").write_text(
        "checks:\n  severity:\n    images_in_one_split: warn\n", encoding="utf-8"
    )
    allowed = finished.make("cnn/training_set", "cnn/trained_model")
    assert allowed.succeeded
    assert "images_in_one_split" in allowed.failed_checks
    assert allowed.recomputed == set()


@pytest.mark.slow
def test_sites_of_a_well_in_both_splits_are_told(screen: Workshop) -> None:
    path = screen.root / "inputs" / "metadata" / "index.csv"
    index = pd.read_csv(path, dtype=str)
    index["Split"] = np.where(index["Metadata_Site"] == "1", "training", "validation")
    index.to_csv(path, index=False)
    screen.configure(lambda data: data["train"]["model"].update(crop_generator="crop_generator"))
    assert screen.make(*INDEX).succeeded
    for plate in (FIRST, SECOND):
        run = screen.make(*TABLES, "illumination_functions", "compressed_images", plate=plate)
        assert run.succeeded, run.failures
    run = screen.make("cnn/training_set", "cnn/trained_model")
    assert not run.succeeded
    assert run.failed_checks["wells_in_one_split"]["wells_in_both_splits"] == 16
    assert "images_in_one_split" not in run.failed_checks
    assert "cnn/trained_model" not in run.metadata
