"""What a user gets wrong: each mistake fails its own asset with what, where and remedy; results stay."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dp_assets_tests.orchestration.materializing import INDEX, PIXELS, PROFILES, TABLES, Ran, Workshop

PLATE = "TINY00001"
Damage = Callable[[Workshop], None]


def image(workshop: Workshop, well: str = "A02", channel: str = "RNA") -> Path:
    """An image of the first plate."""
    return workshop.root / "inputs" / "images" / PLATE / f"{well}_s1_{channel}.tiff"


def locations(workshop: Workshop, well: str = "A02") -> Path:
    """The locations of a site of the first plate."""
    return next((workshop.root / "inputs" / "locations" / PLATE).glob(f"{well}-*-Nuclei.csv"))


def assert_failed(run: Ran, *said: str) -> None:
    """The run failed, its message says all of this, and it has a remedy."""
    assert not run.succeeded
    for text in (*said, "    -> "):
        assert text in run.message
    assert "Traceback" not in run.message


def missing_image(workshop: Workshop) -> None:
    image(workshop).unlink()


def truncated_image(workshop: Workshop) -> None:
    data = image(workshop).read_bytes()
    image(workshop).write_bytes(data[: len(data) // 2])


def image_of_another_size(workshop: Workshop) -> None:
    tifffile.imwrite(image(workshop), np.full((100, 128), 500, np.uint16))


def image_that_is_text(workshop: Workshop) -> None:
    image(workshop).write_text("not an image", encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (missing_image, "does not exist"),
        (truncated_image, "cut off"),
        (image_of_another_size, "100 x 128"),
        (image_that_is_text, "not"),
    ],
)
def test_a_bad_image_fails_the_plate_and_names_the_site(
    finished: Workshop, damage: Damage, said: str
) -> None:
    before = finished.contents()
    damage(finished)
    run = finished.make(*TABLES, *PIXELS, plate=PLATE)
    assert_failed(run, said, image(finished).name, f"plate {PLATE}, well A02, site", "on_bad_site: skip")
    assert finished.contents() == before | {
        name: data
        for name, data in finished.contents().items()
        if name.startswith("metadata/plate_annotations")
    }
    assert finished.make(*TABLES, *PIXELS, plate="TINY00002").recomputed == set()


@pytest.mark.parametrize("damage", [missing_image, truncated_image, image_of_another_size])
def test_with_skip_the_plate_completes_without_the_site(finished: Workshop, damage: Damage) -> None:
    (finished.root / "project.yaml").write_text("on_bad_site: skip\n", encoding="utf-8")
    damage(finished)
    run = finished.make(*TABLES, *PIXELS, plate=PLATE)
    assert run.succeeded, run.failures
    assert run.metadata["illumination_functions"]["sites"] == 3
    assert run.metadata["compressed_images"]["images"] == 9
    failed = run.failed_checks["sites_complete"]
    assert failed["failed"] == 1
    assert [row["well"] for row in failed["failed_sites"]] == ["A02"]
    assert image(finished).name in failed["failed_sites"][0]["problem"]
    profiled = finished.make(*PROFILES, plate=PLATE)
    assert profiled.succeeded, profiled.failures
    assert profiled.metadata["cnn/well_profiles"]["wells"] == 3
    assert profiled.failed_checks["wells_complete"]["without_profile"] == "A02"


def test_a_damage_only_decoding_finds_fails_that_site_alone(tiny: Workshop) -> None:
    """Compressed data overwritten: header and lengths are right, so only reading the pixels can tell."""
    pixels = np.random.default_rng(0).integers(0, 4000, (128, 128), dtype=np.uint16)
    tifffile.imwrite(image(tiny), pixels, compression="zlib")
    data = bytearray(image(tiny).read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    image(tiny).write_bytes(data)
    tiny.make(*INDEX)
    assert tiny.make(*TABLES, plate=PLATE).succeeded
    assert_failed(
        tiny.make("illumination_functions", plate=PLATE), image(tiny).name, "well A02", "on_bad_site"
    )
    assert not (tiny.root / "outputs" / "intensities" / f"{PLATE}.npz").exists()
    (tiny.root / "project.yaml").write_text("on_bad_site: skip\n", encoding="utf-8")
    run = tiny.make("illumination_functions", "compressed_images", "single_cells/box32", plate=PLATE)
    assert run.succeeded, run.failures
    assert run.metadata["illumination_functions"]["sites"] == 3
    assert [row["well"] for row in run.failed_checks["sites_complete"]["failed_sites"]] == ["A02"]
    for asset in ("illumination_functions", "compressed_images", "single_cells/box32"):
        assert tiny.make(asset, plate=PLATE).failed_checks["sites_complete"]["failed"] == 1, asset
    good = np.full((128, 128), 700, np.uint16)
    tifffile.imwrite(image(tiny), good)
    mended = tiny.make(*TABLES, *PIXELS, plate=PLATE)
    assert mended.metadata["illumination_functions"]["sites"] == 4
    assert "sites_complete" not in mended.failed_checks


def test_a_plate_without_any_good_image_fails_even_with_skip(finished: Workshop) -> None:
    (finished.root / "project.yaml").write_text("on_bad_site: skip\n", encoding="utf-8")
    for well in ("A01", "A02", "A03", "A04"):
        image(finished, well).unlink()
    assert_failed(finished.make("plate_images", plate=PLATE), "4 problems", "does not exist")


def test_letters_in_a_location_number(finished: Workshop) -> None:
    before = finished.contents()
    path = locations(finished)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[2] = lines[2].replace(lines[2].split(",")[-1], "12px")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    run = finished.make("cell_locations", "single_cells/box32", plate=PLATE)
    assert_failed(run, "'12px' is not a number", f"{path}, line 3", "Nuclei_Location_Center_")
    assert finished.contents() == before


def test_a_location_file_without_its_columns(finished: Workshop) -> None:
    path = locations(finished)
    path.write_text("x,y\n1,2\n", encoding="utf-8")
    run = finished.make("cell_locations", plate=PLATE)
    assert_failed(run, "Nuclei_Location_Center_X", "columns are: x, y", str(path))


def evil_plate(lines: list[str]) -> list[str]:
    return [lines[0], lines[1].replace(PLATE, "../evil", 1), *lines[2:]]


def same_site_twice(lines: list[str]) -> list[str]:
    return [*lines, lines[2]]


def no_rows(lines: list[str]) -> list[str]:
    return lines[:1]


def nothing_at_all(lines: list[str]) -> list[str]:
    return []


def no_channel_column(lines: list[str]) -> list[str]:
    return [lines[0].replace("RNA", "Er"), *lines[1:]]


def path_outside(lines: list[str]) -> list[str]:
    return [lines[0], lines[1].replace(f"{PLATE}/A01_s1_DNA.tiff", "../../secret.tiff"), *lines[2:]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (evil_plate, ["'../evil' cannot be used as a name", "line 2", "Metadata_Plate"]),
        (same_site_twice, [f"plate {PLATE}, well A02, site", "listed more than once", "line 10"]),
        (no_rows, ["the index has no rows"]),
        (nothing_at_all, ["the index is empty"]),
        (no_channel_column, ["no column for channel RNA", "Er", "add a column RNA"]),
        (path_outside, ["'../../secret.tiff'", "line 2", "column DNA"]),
    ],
    ids=["evil plate", "same site twice", "no rows", "empty file", "no channel column", "path outside"],
)
def test_a_bad_index_fails_and_registers_nothing(
    finished: Workshop, change: Callable[[list[str]], list[str]], said: list[str]
) -> None:
    before, registered = finished.contents(), finished.instance.get_dynamic_partitions("plates")
    finished.rewrite_index(change)
    assert_failed(finished.make(*INDEX), "index.csv", *said)
    assert finished.contents() == before
    assert finished.instance.get_dynamic_partitions("plates") == registered
    assert not (finished.root.parent / "evil.parquet").exists()


def test_an_index_that_is_not_there(tiny: Workshop) -> None:
    (tiny.root / "inputs" / "metadata" / "index.csv").unlink()
    assert_failed(tiny.make(*INDEX), "there is no image index", "write index.csv")


def test_a_plate_that_left_the_index_stays_registered_and_is_named(finished: Workshop) -> None:
    finished.rewrite_index(lambda lines: [line for line in lines if "TINY00002" not in line])
    run = finished.make(*INDEX)
    assert run.succeeded
    assert run.failed_checks["plates_listed"]["vanished"] == "TINY00002"
    assert set(finished.instance.get_dynamic_partitions("plates")) == {"TINY00001", "TINY00002"}
    assert_failed(
        finished.make("plate_images", plate="TINY00002"), "does not list plate TINY00002", "index.csv"
    )


@pytest.mark.parametrize(
    ("asset", "missing", "place"),
    [
        ("plate_images", "image_index", "metadata/image_index.parquet"),
        ("compressed_images", "illumination_functions", "intensities"),
        ("single_cells/box32", "compressed_images", "compressed"),
        ("cnn/cell_features", "cnn/trained_model", "cnn/trained_model"),
        ("cnn/well_profiles", "cnn/cell_features", "cnn/features"),
    ],
)
def test_an_asset_whose_input_is_not_made_says_what_to_make(
    finished: Workshop, asset: str, missing: str, place: str
) -> None:
    path = finished.root / "outputs" / place
    path.unlink() if path.is_file() else shutil.rmtree(path)
    assert_failed(finished.make(asset, plate=PLATE), f"{missing}", "is not there", f"materialize {missing}")


def test_training_before_there_is_anything_to_train_on(tiny: Workshop) -> None:
    assert_failed(tiny.make("cnn/training_set"), "no plate is ready", "image_index", "single_cells/box32")
    tiny.make(*INDEX)
    assert_failed(tiny.make("cnn/training_set"), "no plate is ready")
    tiny.make(*TABLES, plate=PLATE)
    assert_failed(tiny.make("cnn/training_set"), PLATE, "single")
    assert_failed(tiny.make("cnn/trained_model"), "materialize cnn/training_set")


def test_a_split_column_that_the_index_lacks(finished: Workshop) -> None:
    before = finished.contents()
    finished.configure(lambda data: data["train"]["partition"].update(split_field="Fold"))
    assert_failed(finished.make("cnn/training_set"), "Fold", "Split")
    assert finished.contents() == before


def test_crops_that_changed_after_the_training_set(finished: Workshop) -> None:
    path = locations(finished)
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:-1]) + "\n", encoding="utf-8")
    assert finished.make(*TABLES, *PIXELS, plate=PLATE).succeeded
    assert_failed(finished.make("cnn/trained_model"), f"crops of plate {PLATE} changed", "training_set again")
    assert finished.make("cnn/training_set", "cnn/trained_model").succeeded


def test_a_damaged_result_is_made_again(finished: Workshop) -> None:
    """Half a file where a result was: what reads it says which, and making it again mends it."""
    for name in ("intensities/TINY00001.npz", "cnn/features/TINY00001.parquet"):
        path = finished.root / "outputs" / name
        good = path.read_bytes()
        path.write_bytes(good[: len(good) // 2])
        reader, maker = (
            ("compressed_images", "illumination_functions")
            if name.endswith(".npz")
            else ("cnn/well_profiles", "cnn/cell_features")
        )
        assert_failed(finished.make(reader, plate=PLATE), "cannot be read", str(path), "delete")
        assert finished.make(maker, plate=PLATE).recomputed == {maker}
        assert path.read_bytes() == good
