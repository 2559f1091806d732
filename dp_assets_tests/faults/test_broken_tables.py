"""Locations and names that cannot be: file, line and column are named, nothing published changes."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile

from dp_assets_tests.faults.judging import PLATE, assert_kept, assert_says, image, locations
from dp_assets_tests.orchestration.materializing import INDEX, PIXELS, PROFILES, TABLES, Workshop

Change = Callable[[list[str]], list[str]]


def rewrite(path: Path, change: Change) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(change(lines)) + "\n", encoding="utf-8")


def with_first_cell(text: str) -> Change:
    return lambda lines: [lines[0], text, *lines[2:]]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("nan,20", "'nan' is not a number"),
        pytest.param("inf,20", "'inf' is not a number", marks=pytest.mark.slow),
        pytest.param("12,", "'' is not a number", marks=pytest.mark.slow),
        pytest.param("12,zwölf", "'zwölf' is not a number", marks=pytest.mark.slow),
        pytest.param("1e999,20", "'1e999' is not a number", marks=pytest.mark.slow),
    ],
)
def test_a_centre_that_is_no_number(finished: Workshop, cell: str, said: str) -> None:
    before = finished.contents()
    good = locations(finished).read_bytes()
    rewrite(locations(finished), with_first_cell(cell))
    run = finished.make("cell_locations", *PIXELS, plate=PLATE)
    assert_says(run, said, f"{locations(finished)}, line 2", "Nuclei_Location_Center_")
    assert_kept(finished, before)
    locations(finished).write_bytes(good)
    mended = finished.make("cell_locations", *PIXELS, plate=PLATE)
    assert mended.succeeded
    assert mended.recomputed == set()
    assert_kept(finished, before)


@pytest.mark.slow
def test_centres_outside_are_named_and_many_stop_the_plate(finished: Workshop) -> None:
    """One of 22 warns; more than a twentieth of the plate outside stops what would be cut from nothing."""
    crops = {name: data for name, data in finished.contents().items() if "single_cells" in name}
    rewrite(locations(finished), with_first_cell("-40.5,20"))
    run = finished.make("plate_images", "cell_locations", *PIXELS, plate=PLATE)
    assert run.succeeded, run.failures
    assert run.failed_checks["cells_inside"]["cells_outside"] == 1
    assert [row["well"] for row in run.failed_checks["cells_inside"]["sites"]] == ["A02"]
    crops = {name: data for name, data in finished.contents().items() if "single_cells" in name}
    for well in ("A01", "A02", "A03", "A04"):
        rewrite(locations(finished, well), lambda lines: [lines[0], *["5000,5000"] * (len(lines) - 1)])
    run = finished.make("plate_images", "cell_locations", *PIXELS, plate=PLATE)
    assert not run.succeeded
    assert run.failed_checks["cells_inside"]["fraction"] == 1.0
    assert "single_cells/box32" not in run.metadata, "crops were cut although a check blocks"
    now = finished.contents()
    assert crops == {name: now[name] for name in crops}


def test_a_cell_listed_twice_is_told(finished: Workshop, computed: Counter[str]) -> None:
    good = locations(finished).read_bytes()
    before = finished.contents()
    rewrite(locations(finished), lambda lines: [*lines, lines[1]])
    run = finished.make("cell_locations", "single_cells/box32", plate=PLATE)
    assert run.succeeded, run.failures
    assert run.failed_checks["cells_found"]["cells_listed_again"] == 1
    assert computed == {"box32": 1}
    locations(finished).write_bytes(good)
    run = finished.make("cell_locations", "single_cells/box32", plate=PLATE)
    assert "cells_found" not in run.failed_checks
    assert_kept(finished, before)


def test_a_site_without_cells_goes_through_to_profiles(finished: Workshop, computed: Counter[str]) -> None:
    locations(finished).write_text("Nuclei_Location_Center_X,Nuclei_Location_Center_Y\n", encoding="utf-8")
    run = finished.make("cell_locations", *PIXELS, *PROFILES, plate=PLATE)
    assert run.succeeded, run.failures
    assert computed["box32"] == 1
    wells = pq.read_table(finished.root / "outputs/cnn/well_profiles" / f"{PLATE}.parquet")
    assert wells["Metadata_Well"].to_pylist() == ["A01", "A03", "A04"]
    assert run.failed_checks["wells_complete"]["without_profile"] == "A02"


def test_a_plate_without_cells_goes_through_to_empty_profiles(finished: Workshop) -> None:
    other = {name: data for name, data in finished.contents().items() if "TINY00002" in name}
    for well in ("A01", "A02", "A03", "A04"):
        locations(finished, well).unlink()
    run = finished.make("plate_images", "cell_locations", *PIXELS, *PROFILES, plate=PLATE)
    assert run.succeeded, run.failures
    assert run.failed_checks["cells_found"]["cells"] == 0
    assert run.metadata["cnn/well_profiles"]["wells"] == 0
    assert {name: data for name, data in finished.contents().items() if "TINY00002" in name} == other
    for name in ("features", "well_profiles"):
        assert pq.read_table(finished.root / "outputs/cnn" / name / f"{PLATE}.parquet").num_rows == 0


def two_spellings(lines: list[str]) -> list[str]:
    return [*lines[:2], lines[2].replace(f"{PLATE},", "tiny00001,", 1), *lines[3:]]


def cyrillic(lines: list[str]) -> list[str]:
    return [*lines[:2], lines[2].replace("A02", "\u0410" + "01", 1), *lines[3:]]


def newline(lines: list[str]) -> list[str]:
    return [*lines[:1], lines[1].replace("A01", '"A\n01"', 1), *lines[2:]]


def bar(lines: list[str]) -> list[str]:
    return [*lines[:1], lines[1].replace(PLATE, "TINY|1", 1), *lines[2:]]


def null(lines: list[str]) -> list[str]:
    return [*lines[:1], lines[1].replace("A01", "A\x0001", 1), *lines[2:]]


def very_long(lines: list[str]) -> list[str]:
    return [*lines[:1], lines[1].replace("A01", "A" * 5000, 1), *lines[2:]]


def invisible(lines: list[str]) -> list[str]:
    return [*lines[:1], lines[1].replace("A01", "A01\u200b", 1), *lines[2:]]


def path_with_null(lines: list[str]) -> list[str]:
    return [*lines[:1], lines[1].replace("A01_s1_DNA", "A01\x00DNA", 1), *lines[2:]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (two_spellings, "look alike"),
        (cyrillic, "look alike"),
        (newline, "cannot be used as a name"),
        (bar, "'TINY|1' cannot be used as a name"),
        (null, "cannot be used as a name"),
        (very_long, "longer than"),
        (invisible, "cannot be seen"),
        (path_with_null, "column DNA"),
    ],
)
def test_hostile_names_are_refused_and_register_nothing(tiny: Workshop, change: Change, said: str) -> None:
    assert tiny.make(*INDEX).succeeded
    before, plates = tiny.contents(), tiny.instance.get_dynamic_partitions("plates")
    around = sorted(tiny.root.parent.rglob("*.parquet"))
    tiny.rewrite_index(change)
    assert_says(tiny.make(*INDEX), said, "index.csv, line ")
    assert_kept(tiny, before)
    assert tiny.instance.get_dynamic_partitions("plates") == plates
    assert sorted(tiny.root.parent.rglob("*.parquet")) == around


@pytest.mark.slow
def test_unusual_names_that_are_names(tiny: Workshop) -> None:
    """Wells may be named in any script; what is made of them is found again by its name."""
    tiny.rewrite_index(lambda lines: [line.replace(",A02,", ",Bjørn ω 02,", 1) for line in lines])
    for path in (tiny.root / "inputs" / "locations").rglob("A02-*"):
        path.rename(path.with_name(path.name.replace("A02", "Bjørn ω 02")))
    assert tiny.make(*INDEX).succeeded
    run = tiny.make(*TABLES, *PIXELS, plate=PLATE)
    assert run.succeeded, run.failures
    crops = next((tiny.root / "outputs").rglob("index.parquet"))
    assert "Bjørn ω 02" in pq.read_table(crops)["Metadata_Well"].to_pylist()


def test_locations_that_a_link_leads_to_elsewhere(finished: Workshop) -> None:
    before = finished.contents()
    listed, secret = locations(finished), finished.root.parent / "secret.csv"
    listed.rename(secret)
    listed.symlink_to(secret)
    run = finished.make("cell_locations", plate=PLATE)
    assert_says(run, f"a symbolic link leads to {secret}", str(listed), "image_roots")
    assert_kept(finished, before)


@pytest.mark.slow
def test_a_channel_without_light_on_a_site(finished: Workshop) -> None:
    """More than a fifth of the crops are flat then, which stops what would be made of them."""
    before = finished.contents()
    good = image(finished).read_bytes()
    tifffile.imwrite(image(finished), np.zeros((128, 128), np.uint16))
    run = finished.make("plate_images", "image_quality", *PIXELS, plate=PLATE)
    assert not run.succeeded
    assert run.failed_checks["images_not_flat"]["flat_images"] == "A02_s1_RNA.png"
    flat = run.failed_checks["crops_not_flat"]
    assert flat["fraction"] > flat["threshold_that_blocks"]
    assert [row["flat in"] for row in flat["flat"]] == ["RNA"]
    assert "fields_not_empty" in flat["remedy"]
    empty = run.failed_checks["fields_not_empty"]["images"]
    assert {(row["well"], row["channel"]) for row in empty} == {("A02", "RNA")}
    image(finished).write_bytes(good)
    assert finished.make("plate_images", *PIXELS, plate=PLATE).succeeded
    now = finished.contents()
    assert before == {name: now[name] for name in before}


@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 65535], ids=["without light", "saturated"])
def test_a_channel_of_one_grey_level_on_the_whole_plate(finished: Workshop, level: int) -> None:
    before = finished.contents()
    for well in ("A01", "A02", "A03", "A04"):
        tifffile.imwrite(image(finished, well), np.full((128, 128), level, np.uint16))
    run = finished.make("plate_images", "image_quality", *PIXELS, plate=PLATE)
    assert not run.succeeded
    if level == 0:
        assert run.failed_checks["channels_not_flat"]["flat_channels"] == "RNA"
    else:
        saturated = run.failed_checks["fields_not_saturated"]["images"]
        assert {(row["well"], row["channel"]) for row in saturated} == {
            (well, "RNA") for well in ("A01", "A02", "A03", "A04")
        }
    assert run.failed_checks["crops_not_flat"]["fraction"] == 1.0
    others = {name: data for name, data in before.items() if name.startswith("cnn/") or "TINY00002" in name}
    now = finished.contents()
    assert others == {name: now[name] for name in others}


@pytest.mark.slow
def test_a_saturated_plate_is_told(finished: Workshop) -> None:
    """Half of the pixels of every image are cut off: the plate is made, and every image is named."""
    for well in ("A01", "A02", "A03", "A04"):
        for channel in ("DNA", "RNA", "Mito"):
            pixels = tifffile.imread(image(finished, well, channel)).astype(float)
            gain = 65535 / np.median(pixels)
            path = image(finished, well, channel)
            tifffile.imwrite(path, np.minimum(pixels * gain, 65535).astype(np.uint16))
    run = finished.make("plate_images", "image_quality", "illumination_functions", plate=PLATE)
    assert run.succeeded, run.failures
    assert len(run.failed_checks["fields_not_saturated"]["images"]) == 12
