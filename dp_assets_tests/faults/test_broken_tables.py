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
def test_centres_outside_are_counted_and_many_stop_the_plate(finished: Workshop) -> None:
    """One of 24 is named; more than half of a plate outside stops what would be cut from nothing."""
    before = finished.contents()
    rewrite(locations(finished), with_first_cell("-40.5,20"))
    run = finished.make("plate_images", "cell_locations", plate=PLATE)
    assert run.succeeded, run.failures
    outside = run.failed_checks["locations_inside"]
    assert outside["outside"] == 1
    assert len(outside["sites"]) == 1
    for well in ("A01", "A02", "A03", "A04"):
        rewrite(locations(finished, well), lambda lines: [lines[0], *["5000,5000"] * (len(lines) - 1)])
    run = finished.make("plate_images", "cell_locations", *PIXELS, plate=PLATE)
    assert not run.succeeded
    assert "locations_inside" in run.failed_checks
    assert {name for name in run.metadata if "/" in name} == set(), "crops were cut although a check blocks"
    crops = {name: data for name, data in before.items() if "single_cells" in name}
    now = finished.contents()
    assert crops
    assert crops == {name: now[name] for name in crops}


def test_a_cell_listed_twice_is_kept_once_or_named(finished: Workshop) -> None:
    before = finished.contents()
    rewrite(locations(finished), lambda lines: [*lines, lines[1]])
    run = finished.make("cell_locations", *PIXELS, plate=PLATE)
    print(run)
    assert before
    assert False


def test_a_site_without_cells_goes_through_to_profiles(finished: Workshop, computed: Counter[str]) -> None:
    locations(finished).write_text("Nuclei_Location_Center_X,Nuclei_Location_Center_Y\n", encoding="utf-8")
    run = finished.make("cell_locations", *PIXELS, *PROFILES, plate=PLATE)
    assert run.succeeded, run.failures
    assert computed["box32"] == 1
    wells = pq.read_table(finished.root / "outputs/cnn/profiles/wells" / f"{PLATE}.parquet")
    print(sorted(finished.contents()))
    assert wells["Metadata_Well"].to_pylist() == ["A01", "A03", "A04"]
    assert run.failed_checks["wells_complete"]["without_profile"] == "A02"


def test_a_plate_without_cells_goes_through_to_empty_profiles(finished: Workshop) -> None:
    other = {name: data for name, data in finished.contents().items() if "TINY00002" in name}
    for well in ("A01", "A02", "A03", "A04"):
        locations(finished, well).unlink()
    run = finished.make("cell_locations", *PIXELS, *PROFILES, plate=PLATE)
    print(run)
    assert run.succeeded, run.failures
    assert run.metadata["cnn/well_profiles"]["wells"] == 0
    assert {name: data for name, data in finished.contents().items() if "TINY00002" in name} == other


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
    secret = finished.root.parent / "secret.csv"
    locations(finished).rename(secret)
    locations(finished).symlink_to(secret)
    run = finished.make("cell_locations", plate=PLATE)
    assert_says(run, "a symbolic link leads to", str(locations(finished)), "image_roots")
    assert_kept(finished, before)


def test_a_channel_without_light_on_a_site_and_on_the_plate(finished: Workshop) -> None:
    tifffile.imwrite(image(finished), np.zeros((128, 128), np.uint16))
    run = finished.make("plate_images", "cell_locations", *PIXELS, plate=PLATE)
    print(run)
    for well in ("A01", "A03", "A04"):
        tifffile.imwrite(image(finished, well), np.zeros((128, 128), np.uint16))
    run = finished.make("plate_images", "cell_locations", *PIXELS, plate=PLATE)
    print(run)
    assert False


def test_a_saturated_plate(finished: Workshop) -> None:
    for well in ("A01", "A02", "A03", "A04"):
        tifffile.imwrite(image(finished, well), np.full((128, 128), 65535, np.uint16))
    run = finished.make("plate_images", "cell_locations", "image_quality", *PIXELS, plate=PLATE)
    print(run)
    assert False
