"""Crop stores of whole plates: every window is what lies in the image, resumed or not."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upath import UPath

from dp_assets.config.errors import ConfigurationError, ContentChangedError, ImageFileError
from dp_assets.imaging.cropping import CropGeometry, crop_cells
from dp_assets.imaging.full_image import grid_cells
from dp_assets.imaging.masks import MaskSampling, PlateMasks
from dp_assets.imaging.plate_crops import NO_CELLS, CropPlan, SiteCells, export_crops
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.folders import FolderWriter, publish_folder
from dp_assets.storage.image_sites import SiteFailure
from dp_assets.storage.label_images import read_label_image
from dp_assets.storage.work import WorkFolder
from dp_assets_tests.golden_stages import exported, prepared
from dp_assets_tests.image_changes import brighten, overwrite, site_pixels, tear, unchecked
from dp_assets_tests.made_outlines import outlines_of, write_outlines
from dp_assets_tests.made_plates import PLATE, KilledError, MadePlate, ProgressLog, options, tiny_plate
from dp_assets_tests.read_counting import count_reads

CHANNELS = ("DNA", "RNA")
CENTRES = np.array([(30.25, 40.5), (0.0, 0.0), (63.9, 79.2), (12.0, 3.5), (-500.0, 20.0)])


@pytest.fixture
def plate(tmp_path: Path) -> MadePlate:
    return tiny_plate(tmp_path / "project", wells=5, channels=CHANNELS)


def plan_of(plate: MadePlate, **changes: Any) -> CropPlan:
    facts = {"channels": CHANNELS, "geometry": CropGeometry(16, margin=2), "array_shape": (64, 80)}
    facts |= {"sites": plate.sites(), "cells": plate.cells(), "dtype": "uint16"}
    return CropPlan(**{**facts, **changes})


def export(
    plan: CropPlan, folder: Path, progress: ProgressLog | None = None, **changes: Any
) -> tuple[FolderWriter, list[SiteFailure]]:
    return export_crops(plan, **options(WorkFolder(folder), progress, **changes))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "geometry", [CropGeometry(16, margin=2), CropGeometry(9), CropGeometry(16, "exact", 3)]
)
@pytest.mark.parametrize("where", ["local", "memory://crops/P1"])
def test_every_window_is_what_lies_in_the_image(
    plate: MadePlate, tmp_path: Path, geometry: CropGeometry, where: str
) -> None:
    names = tuple(map(str, range(len(CENTRES))))
    cells = {(site.well, site.site): SiteCells(names, CENTRES + n) for n, site in enumerate(plate.sites())}
    plan = plan_of(plate, geometry=geometry, cells=cells)
    writer, _ = export(plan, tmp_path / "w", workers=3)
    place = tmp_path / "out" if where == "local" else UPath(where)
    publish_folder(place, writer)
    store = CropStore.open(place)
    assert (len(store), store.channels, store.side) == (25, CHANNELS, plan.side)
    assert store.fingerprint == plan.fingerprint
    far = 600
    windows, index = store.windows(range(25)), store.index.to_pylist()
    for number, site in enumerate(plan.sites):
        image = site_pixels(site)
        padded = np.pad(image, ((far, far), (far, far), (0, 0)))
        for cell, centre in enumerate(CENTRES + number):
            row = index[5 * number + cell]
            assert (row["Metadata_Plate"], row["Metadata_Well"]) == (PLATE, site.well)
            assert (row["Metadata_Site"], row["Metadata_Cell"]) == (site.site, str(cell))
            assert (row["centre_row"], row["centre_col"]) == tuple(centre)
            assert (row["array_rows"], row["array_cols"]) == (64, 80)
            top, left = row["origin_row"] + far, row["origin_col"] + far
            expected = padded[top : top + plan.side, left : left + plan.side]
            np.testing.assert_array_equal(windows[5 * number + cell], expected)
            middle = np.array([row["origin_row"], row["origin_col"]]) + (plan.side - 1) / 2
            # "original" takes the centre as a share of the image and the image as one pixel smaller.
            meant = centre if geometry.sampling == "exact" else centre * (63 / 64, 79 / 80)
            assert (np.abs(middle - meant) <= 1.5).all()
            assert (row["flat_channels"] == "DNA,RNA") == (cell == 4)
    assert store.folder.manifest["flat_cells"] == {"DNA,RNA": 5}
    assert store.folder.manifest["geometry"] == {
        "box_size": geometry.box_size,
        "sampling": geometry.sampling,
        "margin": geometry.margin,
    }


def test_recorded_site(golden: Path) -> None:
    store, ready = exported(golden, "SYN00001"), prepared(golden, "SYN00001")
    assert Counter(store.index["Metadata_Well"].to_pylist()) == {"A01": 23, "A02": 19, "A03": 23, "A04": 19}
    assert store.dtype == np.uint8
    site = next(site for site in ready.sites if site.well == "A02")
    rows = [n for n, well in enumerate(store.index["Metadata_Well"].to_pylist()) if well == "A02"]
    crops = crop_cells(site.read(), ready.cells[("A02", "1")].centres, CropGeometry(96), (512, 512))
    windows = store.windows(rows)
    for crop, window in zip(crops, windows, strict=True):
        assert crop.max() <= window.max()


def test_a_dead_channel_is_recorded_as_flat(plate: MadePlate, tmp_path: Path) -> None:
    overwrite(plate.sites()[1].images[1], np.full((64, 80), 7, np.uint16))
    writer, _ = export(plan_of(plate), tmp_path / "w")
    publish_folder(tmp_path / "out", writer)
    index = CropStore.open(tmp_path / "out").index.to_pylist()
    # Near the border the zeros outside the image are a second grey level: those windows are not flat.
    found = {row["Metadata_Well"] for row in index if row["flat_channels"]}
    assert found == {"A02"}
    assert {row["flat_channels"] for row in index if row["flat_channels"]} == {"RNA"}


def test_sites_without_cells_are_finished_without_being_read(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = {key: value for key, value in plate.cells().items() if key[0] in ("A02", "A03")}
    plan = plan_of(plate, cells={**cells, ("A05", "1"): NO_CELLS})
    reads = count_reads(monkeypatch)
    progress = ProgressLog()
    writer, failures = export(plan, tmp_path / "w", progress)
    assert progress[-1] == (5, 5)
    assert (failures, writer.facts["sites"], writer.facts["cells"]) == ([], 5, 6)
    assert {name.split("_")[0] for name in reads} == {"A02", "A03"}
    again = ProgressLog()
    export(plan, tmp_path / "w", again)
    assert again == [(5, 5)]


def test_a_plate_without_cells_is_an_empty_store(plate: MadePlate, tmp_path: Path) -> None:
    writer, _ = export(plan_of(plate, cells={}), tmp_path / "w")
    publish_folder(tmp_path / "out", writer)
    assert len(CropStore.open(tmp_path / "out")) == 0


@pytest.mark.parametrize("kill_at", [1, 4])
def test_a_killed_run_goes_on_and_ends_the_same(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    plan = plan_of(plate)
    publish_folder(tmp_path / "undisturbed", export(plan, tmp_path / "other")[0])
    with pytest.raises(KilledError):
        export(plan, tmp_path / "w", ProgressLog(kill_at))
    done = {
        site.well for site in plan.sites if WorkFolder(tmp_path / "w").finished(plan.site_fingerprint(site))
    }
    assert len(done) >= kill_at
    reads = count_reads(monkeypatch)
    writer, _ = export(plan, tmp_path / "w")
    assert {name.split("_")[0] for name in reads} == {"A01", "A02", "A03", "A04", "A05"} - done
    publish_folder(tmp_path / "resumed", writer)
    writer.finished()
    assert contents(tmp_path / "resumed") == contents(tmp_path / "undisturbed")
    assert not (tmp_path / "w").exists()


def changed_wells(before: CropPlan, after: CropPlan) -> list[str]:
    return [
        first.well
        for first, second in zip(before.sites, after.sites, strict=True)
        if before.site_fingerprint(first) != after.site_fingerprint(second)
    ]


def test_what_a_sites_fingerprint_depends_on(plate: MadePlate) -> None:
    before = plan_of(plate)
    assert changed_wells(before, plan_of(plate)) == []
    path = before.sites[2].images[0]
    brighten(path)
    assert changed_wells(before, plan_of(plate)) == ["A03"]
    file = plate.root / "inputs/locations" / PLATE / "A05-1-Nuclei.csv"
    lines = file.read_text().splitlines()
    x, y, *rest = lines[2].split(",")
    file.write_text("\n".join([*lines[:2], ",".join([str(float(x) + 1e-9), y, *rest]), *lines[3:]]) + "\n")
    after = plan_of(plate)
    assert changed_wells(before, after) == ["A03", "A05"]
    assert before.fingerprint != after.fingerprint
    for changes in (
        {"geometry": CropGeometry(17, margin=2)},
        {"geometry": CropGeometry(16, margin=3)},
        {"geometry": CropGeometry(16, "exact", 2)},
        {"channels": CHANNELS[::-1]},
    ):
        other = replace(after, **changes)
        assert len(changed_wells(after, other)) == 5
        assert other.fingerprint != after.fingerprint


def test_a_torn_site_fails_the_plate_or_is_left_out(plate: MadePlate, tmp_path: Path) -> None:
    plan = plan_of(plate)
    plan = replace(plan, sites=unchecked(plan.sites))
    tear(plan.sites[0])
    with pytest.raises(ImageFileError, match="well A01, site 1") as caught:
        export(plan, tmp_path / "w")
    assert "4 finished sites are kept" in str(caught.value)
    writer, [failure] = export(plan, tmp_path / "w", on_bad_site="skip")
    assert failure.well == "A01"
    assert writer.fingerprint != plan.fingerprint
    publish_folder(tmp_path / "out", writer)
    store = CropStore.open(tmp_path / "out")
    assert store.folder.manifest["failures"] == [failure.as_dict()]
    assert set(store.index["Metadata_Well"].to_pylist()) == {"A02", "A03", "A04", "A05"}
    assert len(store) == store.index.num_rows == 12


@pytest.mark.parametrize("sampling", ["nearest", "original"])
def test_masked_windows_keep_their_pixels_and_say_whose_they_are(
    plate: MadePlate, tmp_path: Path, sampling: MaskSampling
) -> None:
    labels = write_outlines(plate)
    plan = plan_of(plate, masks=PlateMasks(outlines_of(plate), sampling))
    publish_folder(tmp_path / "masked", export(plan, tmp_path / "w")[0])
    publish_folder(tmp_path / "plain", export(plan_of(plate), tmp_path / "v")[0])
    store, plain = CropStore.open(tmp_path / "masked"), CropStore.open(tmp_path / "plain")
    windows, masks = store.windows_and_masks(range(15))
    np.testing.assert_array_equal(windows, plain.windows(range(15)))
    far = 60
    for row, mask in zip(store.index.to_pylist(), masks, strict=True):
        picture = np.pad(labels[row["Metadata_Well"], row["Metadata_Site"]], far)
        top, left = row["origin_row"] + far, row["origin_col"] + far
        expected = picture[top : top + plan.side, left : left + plan.side] == row["object"]
        np.testing.assert_array_equal(mask, expected * np.uint8(255))
    facts = store.folder.manifest
    assert (facts["mask"], facts["mask_sampling"]) == (True, sampling)
    assert (facts["cells_without_object"], facts["side"]) == (0, plain.side)
    assert store.fingerprint != plain.fingerprint


def test_a_cell_on_no_object_is_flat(plate: MadePlate, tmp_path: Path) -> None:
    """The disks lie on the cells; a cell in a corner where none is has an empty mask."""
    write_outlines(plate, lambda labels: np.where(labels == 2, 0, labels).astype(np.uint16))
    masks = PlateMasks(outlines_of(plate))
    writer, _ = export(plan_of(plate, masks=masks), tmp_path / "w")
    publish_folder(tmp_path / "out", writer)
    rows = CropStore.open(tmp_path / "out").index.to_pylist()
    for row in rows:
        assert (row["flat_channels"] == "DNA,RNA") == (row["object"] == 0)
    empty = sum(row["object"] == 0 for row in rows)
    assert empty >= 1
    assert writer.facts["cells_without_object"] == empty
    assert writer.facts["flat_cells"] == {"DNA,RNA": empty}


def test_a_changed_outline_redoes_its_site_only(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_outlines(plate)
    before = plan_of(plate, masks=PlateMasks(outlines_of(plate)))
    export(before, tmp_path / "w")
    path = plate.root / "inputs" / "outlines" / f"{PLATE}_A02_1.tif"
    overwrite(path, read_label_image(path) * np.uint16(2))
    after = plan_of(plate, masks=PlateMasks(outlines_of(plate)))
    assert changed_wells(before, after) == ["A02"]
    assert len(changed_wells(after, replace(after, masks=PlateMasks(outlines_of(plate), "original")))) == 5
    assert len(changed_wells(after, plan_of(plate))) == 5
    reads = count_reads(monkeypatch)
    export(after, tmp_path / "w")
    assert {name.split("_")[0] for name in reads} == {"A02"}


def test_outlines_that_changed_are_no_bad_site(plate: MadePlate, tmp_path: Path) -> None:
    write_outlines(plate)
    plan = plan_of(plate, masks=PlateMasks(outlines_of(plate)))
    overwrite(plate.root / "inputs" / "outlines" / f"{PLATE}_A04_1.tif", np.zeros((64, 96), np.uint16))
    with pytest.raises(ContentChangedError, match="has changed since plate_outlines was made"):
        export(plan, tmp_path / "w", on_bad_site="skip")


def test_views_of_whole_images(plate: MadePlate, tmp_path: Path) -> None:
    grid = grid_cells((64, 80), 40)
    geometry = CropGeometry(16, margin=1, view_size=40)
    cells = {(site.well, site.site): grid for site in plate.sites()}
    plan = plan_of(plate, geometry=geometry, cells=cells)
    publish_folder(tmp_path / "out", export(plan, tmp_path / "w")[0])
    store = CropStore.open(tmp_path / "out")
    assert store.index["Metadata_Cell"].to_pylist() == ["0", "1", "2", "3"] * 5
    assert CropGeometry(**store.folder.manifest["geometry"]) == geometry
    assert changed_wells(plan, replace(plan, geometry=CropGeometry(16, margin=1, view_size=41))) == [
        site.well for site in plan.sites
    ]


def test_the_first_site_may_be_the_bad_one(plate: MadePlate, tmp_path: Path) -> None:
    """A site whose first image could not be inspected has no size."""
    tear(plate.sites()[0])
    plan = plan_of(plate)
    assert plan.sites[0].original_shape == (0, 0)
    writer, [failure] = export(plan, tmp_path / "w", on_bad_site="skip")
    assert (failure.well, writer.fingerprint, writer.facts["cells"]) == ("A01", plan.fingerprint, 12)


def test_a_plate_of_bad_sites_fails_whatever_the_project_says(plate: MadePlate, tmp_path: Path) -> None:
    cells = plate.cells()
    for site in plate.sites():
        tear(site)
    with pytest.raises(ImageFileError, match="5 problems"):
        export(plan_of(plate, cells=cells), tmp_path / "w", on_bad_site="skip")


@pytest.mark.parametrize("image", [np.zeros((64, 96), np.uint16), np.zeros((64, 80), np.uint8)])
def test_an_image_that_changed_is_no_bad_site(plate: MadePlate, tmp_path: Path, image: np.ndarray) -> None:
    plan = plan_of(plate)
    for path in plan.sites[3].images:
        overwrite(path, image)
    with pytest.raises(ContentChangedError, match="has changed since plate_images was made"):
        export(plan, tmp_path / "w", on_bad_site="skip")


def test_whole_pixels_of_scaled_images_are_refused_even_when_sites_may_be_skipped(
    plate: MadePlate, tmp_path: Path
) -> None:
    plan = plan_of(plate, geometry=CropGeometry(16, "exact"), array_shape=(32, 40))
    with pytest.raises(ConfigurationError, match="sampling 'exact'"):
        export(plan, tmp_path / "w", on_bad_site="skip")
