"""Masked cells and full-image mode, from the configuration to what is published."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dp_assets.orchestration.code_location import build_defs
from dp_assets.storage.crop_store import CropStore
from dp_assets_tests.made_outlines import drawn_outlines, write_outlines
from dp_assets_tests.made_plates import MadePlate
from dp_assets_tests.orchestration.materializing import INDEX, Ran, Workshop

PLATE, CHANNELS = "TINY00001", ("DNA", "RNA", "Mito")
TABLES = ("plate_images", "plate_annotations", "cell_locations")
MASKED, VIEWS = "single_cells/box32_masked", "single_cells/view64_box32"


@pytest.fixture
def masked(write_project: Callable[..., Workshop]) -> Workshop:
    """A tiny project that masks cells, with label images listed in outlines.csv."""
    workshop = write_project(
        plates=1,
        shape=(64, 80),
        cells_per_site=3,
        overrides={
            "dataset": {"locations": {"mask_objects": True}},
            "prepare": {"compression": {"implement": False}},
        },
    )
    write_outlines(made_plate(workshop))
    assert workshop.make(*INDEX).succeeded
    return workshop


@pytest.fixture
def views(write_project: Callable[..., Workshop]) -> Workshop:
    """A tiny project in full-image mode, without any locations."""
    workshop = write_project(
        overrides={
            "dataset": {"locations": {"mode": "full_image", "view_size": 64}},
            "prepare": {"compression": {"implement": False}},
        },
    )
    shutil.rmtree(workshop.root / "inputs" / "locations")
    assert workshop.make(*INDEX).succeeded
    return workshop


def made_plate(workshop: Workshop) -> MadePlate:
    return MadePlate(workshop.root, PLATE, CHANNELS, 16)


def parents(workshop: Workshop) -> dict[str, set[str]]:
    graph = build_defs(workshop.root).resolve_asset_graph()
    return {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }


def make_masked(workshop: Workshop) -> Ran:
    return workshop.make(*TABLES, "plate_outlines", MASKED, plate=PLATE)


def store_of(workshop: Workshop, name: str = MASKED) -> CropStore:
    return CropStore.open(workshop.root / "outputs" / name / PLATE)


def outline_file(workshop: Workshop, well: str) -> Path:
    return workshop.root / "inputs" / "outlines" / f"{PLATE}_{well}_1.tif"


def test_outlines_are_in_the_graph_where_cells_are_masked(masked: Workshop) -> None:
    graph = parents(masked)
    assert graph["plate_outlines"] == {"image_index", "plate_images"}
    assert graph[MASKED] == {"cell_locations", "plate_images", "plate_outlines"}
    assert graph["cnn/cell_features"] >= {"cell_locations", "plate_images", "plate_outlines"}
    assert "plate_outlines" in {
        key.to_user_string()
        for key in build_defs(masked.root).resolve_job_def("prepare").asset_layer.executable_asset_keys
    }
    checks = build_defs(masked.root).resolve_asset_graph().asset_check_keys
    assert {check.name for check in checks if check.asset_key.to_user_string() == MASKED} == {
        "cells_in_objects",
        "crops_not_flat",
        "sites_complete",
    }
    masked.configure(lambda data: data["dataset"]["locations"].update(mask_objects=False))
    graph = parents(masked)
    assert "plate_outlines" not in graph
    assert graph["single_cells/box32"] == {"cell_locations", "plate_images"}


def test_full_images_need_no_locations(views: Workshop) -> None:
    graph = parents(views)
    assert graph[VIEWS] == {"plate_images"}
    assert "cell_locations" not in graph["cnn/cell_features"]
    run = views.make("plate_images", "plate_annotations", VIEWS, plate=PLATE)
    assert run.succeeded, run.failures
    store = store_of(views, VIEWS)
    assert store.index["Metadata_Cell"].to_pylist() == ["0", "1", "2", "3"] * 4
    assert run.metadata[VIEWS]["cells"] == 16
    assert "crops" in run.metadata[VIEWS]
    made = views.make("cnn/training_set")
    assert made.succeeded, made.failures
    assert made.metadata["cnn/training_set"]["training_cells"] == 8


def test_a_view_larger_than_the_images(views: Workshop) -> None:
    views.configure(lambda data: data["dataset"]["locations"].update(view_size=200))
    run = views.make("plate_images", "single_cells/view200_box32", plate=PLATE)
    assert "view_size is 200, but the images are 128 x 128" in run.message


@pytest.mark.parametrize(
    ("locations", "cells", "said"),
    [
        ({"mask_objects": True}, {}, "there is no cell to mask"),
        ({}, {"sampling": "exact"}, "windows of 64 pixels are resized to 32"),
    ],
)
def test_what_full_images_cannot_have(
    views: Workshop, caplog: pytest.LogCaptureFixture, locations: dict, cells: dict, said: str
) -> None:
    def change(data: dict) -> None:
        data["dataset"]["locations"].update(locations)
        data.setdefault("single_cells", {}).update(cells)

    views.configure(change)
    assert not any(name.startswith(("cnn/", "single_cells/")) for name in parents(views))
    assert said in caplog.text


def test_outlines_that_changed_after_their_inspection_are_not_taken_for_what_they_were(
    masked: Workshop,
) -> None:
    assert make_masked(masked).succeeded
    path = outline_file(masked, "A02")
    tifffile.imwrite(path, np.where(tifffile.imread(path) == 2, 0, tifffile.imread(path)))
    run = masked.make(MASKED, plate=PLATE, force=True)
    assert not run.succeeded
    assert "since plate_outlines was made" in run.message
    assert "materialize plate_outlines" in run.message


def test_masked_cells_and_a_changed_outline(masked: Workshop) -> None:
    first = make_masked(masked)
    assert first.succeeded, first.failures
    assert "cells_in_objects" not in first.failed_checks
    facts = store_of(masked).folder.manifest
    assert (facts["mask"], facts["mask_sampling"], facts["cells_without_object"]) == (True, "nearest", 0)
    assert "crops" in first.metadata[MASKED]
    again = make_masked(masked)
    assert again.recomputed == set()
    assert again.versions == first.versions
    path = outline_file(masked, "A02")
    tifffile.imwrite(path, np.where(tifffile.imread(path) == 2, 0, tifffile.imread(path)))
    changed = make_masked(masked)
    assert changed.recomputed == {MASKED}
    assert {name for name in first.versions if first.versions[name] != changed.versions[name]} == {
        "plate_outlines",
        MASKED,
    }
    assert changed.failed_checks["cells_in_objects"]["cells_on_no_object"] == 1
    assert changed.failed_checks["crops_not_flat"]["flat"] == [
        {"flat in": "DNA,RNA,Mito", "crops": 1, "fraction": round(1 / facts["cells"], 4)}
    ]


def test_outlines_drawn_as_lines(masked: Workshop) -> None:
    """Inside its line every cell keeps the pixels it has with the label image."""
    assert make_masked(masked).succeeded
    by_label = store_of(masked).windows_and_masks(range(12))[1]
    (masked.root / "inputs" / "metadata" / "outlines.csv").unlink()
    write_outlines(made_plate(masked), drawn_outlines)
    assert make_masked(masked).succeeded
    by_line = store_of(masked).windows_and_masks(range(12))[1]
    assert not (by_line & ~by_label).any()
    assert (by_line > 0).sum() > 0.5 * (by_label > 0).sum()


def test_original_masks_are_a_set_of_their_own(masked: Workshop) -> None:
    masked.configure(lambda data: data.update(single_cells={"masks": "original"}))
    name = f"{MASKED}_parity"
    run = masked.make(*TABLES, "plate_outlines", name, plate=PLATE)
    assert run.succeeded, run.failures
    assert store_of(masked, name).mask_sampling == "original"


def test_the_column_of_the_index_will_do(masked: Workshop) -> None:
    (masked.root / "inputs" / "metadata" / "outlines.csv").unlink()
    run = masked.make("plate_images", "plate_outlines", plate=PLATE)
    for part in ("there is no outlines.csv", "no column Outlines", "inputs/outlines", "mask_objects"):
        assert part in run.message
    masked.rewrite_index(
        lambda lines: [
            lines[0] + ",Outlines",
            *(f"{line},{PLATE}_{line.split(',')[1]}_1.tif" for line in lines[1:]),
        ]
    )
    assert masked.make(*INDEX).succeeded
    run = make_masked(masked)
    assert run.succeeded, run.failures
    assert run.metadata["plate_outlines"]["listed_in"] == "the image index"


def test_a_site_without_outlines_fails_or_is_left_out(masked: Workshop) -> None:
    outline_file(masked, "A01").unlink()
    tifffile.imwrite(outline_file(masked, "A03"), np.zeros((80, 64), np.uint16))
    run = masked.make("plate_images", "plate_outlines", plate=PLATE)
    assert f"plate {PLATE}, well A01, site 1" in run.message
    assert "does not exist" in run.message
    assert "are 80 x 64 (rows x columns); the images of the site are 64 x 80" in run.message
    (masked.root / "project.yaml").write_text("on_bad_site: skip\n", encoding="utf-8")
    run = make_masked(masked)
    assert run.succeeded, run.failures
    assert run.failed_checks["sites_complete"]["failed"] == 2
    assert set(store_of(masked).index["Metadata_Well"].to_pylist()) == {"A02", "A04"}
