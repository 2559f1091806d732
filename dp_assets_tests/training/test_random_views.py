"""Random views of images whose every pixel says where it is and of which image."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tifffile

from dp_assets.imaging.cropping import CropGeometry, crop_cells
from dp_assets.imaging.full_image import grid_cells
from dp_assets.imaging.site_crops import SiteCrops
from dp_assets.storage.image_sites import ImageSite
from dp_assets.training.plate_images import PlateImages
from dp_assets.training.random_views import ViewSupply
from dp_assets.training.sampler import BalancedImageEpochs

ROWS, COLS, VIEW = 40, 70, 16
GRID = 3 * 5  # ceil(40 / 16) x ceil(70 / 16)
COUNTS = (3, 5, 1)  # images of each class
PLATE = "P1"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> list[ImageSite]:
    """Channels: row, column, number of the image plus column (so that nothing is flat)."""
    folder = tmp_path_factory.mktemp("images")
    rows, cols = np.indices((ROWS, COLS))
    found = []
    for number in range(sum(COUNTS)):
        planes = (rows, cols, 1000 * number + cols)
        paths = [folder / f"{number}_{channel}.tiff" for channel in range(3)]
        for path, plane in zip(paths, planes, strict=True):
            tifffile.imwrite(path, plane.astype(np.uint16))
        names = tuple(path.name for path in paths)
        found.append(ImageSite(PLATE, f"A{number + 1:02d}", "1", (ROWS, COLS), tuple(paths), names, names))
    return found


def supply_of(sites: list[ImageSite], geometry: CropGeometry, **changes: Any) -> ViewSupply:
    cells = {(site.well, site.site): grid_cells(site.original_shape, geometry.view) for site in sites}
    facts: dict[str, Any] = {"maximum_pixels": 10**6, "cells_held": 60} | changes
    plates = {PLATE: SiteCrops(sites, cells, geometry, (0, 1, 2))}
    return ViewSupply(PlateImages(plates, ("rows", "cols", "image"), "none", **facts))


def members(supply: ViewSupply, *further: list[int]) -> pa.Table:
    """All images with the class of their group, and further class indices."""
    cells = supply.listing(PLATE)
    classes = [number for number, count in enumerate(COUNTS) for _ in range(count)]
    for number, indices in enumerate([classes, *further], start=1):
        name = "class_index" if number == 1 else f"class_index_{number}"
        cells = cells.append_column(name, pa.array(indices, pa.int32()))
    return cells


def pixels_of(cells: Any) -> np.ndarray:
    return cells.crops.read(np.arange(len(cells)))


EXACT = CropGeometry(VIEW, "exact")


def test_views_lie_anywhere_inside_their_image_and_nowhere_else(sites: list[ImageSite]) -> None:
    supply = supply_of(sites, EXACT)
    cells = supply.labelled(members(supply), {}, training=True, seed=3)
    assert len(cells) == 3 * 3 * GRID  # classes x median images x views
    corners, images = [], []
    for epoch in range(40):
        views = pixels_of(cells.in_epoch(epoch))
        top, left = views[:, 0, 0, 0], views[:, 0, 0, 1]
        number = (views[:, 0, 0, 2] - left) / 1000
        rows, cols = np.indices((VIEW, VIEW))
        np.testing.assert_array_equal(views[..., 0], top[:, None, None] + rows)
        np.testing.assert_array_equal(views[..., 1], left[:, None, None] + cols)
        corners.append(np.stack([top, left], axis=1))
        images.append(number.astype(int))
    places = np.concatenate(corners)
    assert (places.min(axis=0) == 0).all()
    assert (places.max(axis=0) == [ROWS - VIEW, COLS - VIEW]).all()
    for axis, last in enumerate((ROWS - VIEW, COLS - VIEW)):
        counts = np.bincount(places[:, axis].astype(int), minlength=last + 1)
        expected = len(places) / (last + 1)
        # chi-squared of a uniform draw: mean `last`, deviation sqrt(2 last)
        assert ((counts - expected) ** 2 / expected).sum() < last + 6 * np.sqrt(2 * last)


def test_every_class_gives_as_many_images_and_labels_are_those_of_the_image(sites: list[ImageSite]) -> None:
    supply = supply_of(sites, EXACT)
    second = [0, 1, 0, 1, 2, 0, 1, 2, 1]
    cells = supply.labelled(members(supply, second), {}, training=True, seed=3)
    classes = np.repeat(np.arange(3), COUNTS)
    shown = Counter[int]()
    for epoch in range(6):
        drawn = cells.in_epoch(epoch)
        views = pixels_of(drawn)
        image = ((views[:, 0, 0, 2] - views[:, 0, 0, 1]) / 1000).astype(int)
        np.testing.assert_array_equal(drawn.labels, np.stack([classes[image], np.array(second)[image]], 1))
        assert Counter(drawn.first_labels.tolist()) == dict.fromkeys(range(3), 3 * GRID)
        np.testing.assert_array_equal(drawn.first_labels, cells.first_labels)
        np.testing.assert_array_equal(drawn.images, cells.images)
        each = Counter(image.tolist())
        assert all(count % GRID == 0 for count in each.values())
        assert all(each[number] == GRID for number in (0, 1, 2)), "as many as there are: each once"
        shown.update(each)
    assert set(shown) == set(range(9)), "images of the large class take turns"


def test_epochs_depend_on_seed_and_number_only(sites: list[ImageSite]) -> None:
    first = supply_of(sites, EXACT)
    table = members(first)
    cells = first.labelled(table, {}, training=True, seed=5)
    again = supply_of(sites, EXACT, cells_held=1).labelled(table, {}, training=True, seed=5).in_epoch(9)
    other = first.labelled(table, {}, training=True, seed=6)
    before = pixels_of(cells.in_epoch(2))
    np.testing.assert_array_equal(pixels_of(again.in_epoch(2)), before)
    order = np.random.default_rng(0).permutation(len(cells))
    np.testing.assert_array_equal(cells.in_epoch(2).crops.read(order), before[order])
    assert not np.array_equal(pixels_of(cells.in_epoch(3)), before)
    assert not np.array_equal(pixels_of(other.in_epoch(2)), before)
    assert len(np.unique(before[:, 0, 0], axis=0)) > 0.9 * len(before), "no two alike, an image twice or not"


def test_a_sampler_drawn_from_the_first_epoch_holds_for_all(sites: list[ImageSite]) -> None:
    supply = supply_of(sites, EXACT)
    cells = supply.labelled(members(supply), {}, training=True, seed=5)
    assert cells.images is not None
    sampler = BalancedImageEpochs(
        cells.first_labels, cells.images, 3, 5, factor=0.4, batch_size=4, cells_held=60
    )
    assert (sampler.images_per_class, sampler.cells_per_image) == (3, 6)
    assert sampler.cells_per_epoch == 52  # 3 classes x 3 images x 15 views x 0.4 = 54, in whole batches
    assert len(cells.in_epoch(1).crops.read(sampler.draw(1))) == 52


def test_a_larger_view_is_resized_as_in_profiling(sites: list[ImageSite]) -> None:
    geometry = CropGeometry(8, view_size=VIEW)
    supply = supply_of(sites, geometry)
    cells = supply.labelled(members(supply), {}, training=True, seed=1)
    views = pixels_of(cells)
    assert cells.crops.shape == (8, 8, 3)
    for view in views[:: GRID // 2]:
        number = round(float(view[0, 0, 2] - view[0, 0, 1]) / 1000)
        # Samples span the whole view: the first lies at corner * (size - 1) / size.
        corner = [
            round(float(view[0, 0, axis]) * size / (size - 1)) for axis, size in enumerate((ROWS, COLS))
        ]
        centre = np.array([corner], float) + VIEW / 2
        expected = crop_cells(sites[number].read(), centre, geometry, (ROWS, COLS))[0]
        np.testing.assert_array_equal(view, expected)


def test_validation_sees_the_grid_of_profiling(sites: list[ImageSite]) -> None:
    geometry = CropGeometry(8, view_size=VIEW)
    supply = supply_of(sites, geometry)
    table = members(supply)
    cells = supply.labelled(table, {}, training=False, seed=1)
    assert cells.in_epoch(4) is cells
    grid = grid_cells((ROWS, COLS), VIEW)
    expected = [crop_cells(site.read(), grid.centres, geometry, (ROWS, COLS)) for site in sites]
    np.testing.assert_array_equal(pixels_of(cells), np.concatenate(expected))
    np.testing.assert_array_equal(cells.labels, np.repeat(np.repeat(np.arange(3), COUNTS), GRID))
    middle = supply.pixels(table.slice(3, 2))
    np.testing.assert_array_equal(middle, [expected[3][GRID // 2], expected[4][GRID // 2]])
    none = supply.labelled(table.slice(0, 0), {}, training=True, seed=1)
    assert len(none) == len(supply.labelled(table.slice(0, 0), {}, training=False, seed=1)) == 0


def test_where_the_image_is_smaller_than_the_view_it_is_centred(sites: list[ImageSite]) -> None:
    geometry = CropGeometry(50, "exact")
    supply = supply_of(sites, geometry)
    views = pixels_of(supply.labelled(members(supply), {}, training=True, seed=1))
    assert (views[:, :5] == 0).all()  # 40 rows in the middle of 50
    assert (views[:, 45:] == 0).all()
    np.testing.assert_array_equal(views[:, 5:45, 0, 0], np.tile(np.arange(40), (len(views), 1)))
    assert len(np.unique(views[:, 5, 0, 1])) > 5


def test_a_flat_view_is_drawn_again(sites: list[ImageSite], tmp_path: Path) -> None:
    """An image that is empty but for one corner, and one that is empty throughout."""
    plane = np.zeros((ROWS, COLS), np.uint16)
    paths = [tmp_path / f"{name}.tiff" for name in ("empty", "corner")]
    tifffile.imwrite(paths[0], plane)
    plane[:24, :40] = 1 + np.arange(24 * 40).reshape(24, 40)
    tifffile.imwrite(paths[1], plane)
    changed = [*sites]
    for number, path in enumerate(paths):
        names = (path.name,) * 3
        changed[number] = ImageSite(PLATE, sites[number].well, "1", (ROWS, COLS), (path,) * 3, names, names)
    supply = supply_of(changed, EXACT)
    cells = supply.labelled(members(supply), {}, training=True, seed=3)
    views = pixels_of(cells)
    assert (views.max(axis=(1, 2)) > views.min(axis=(1, 2))).all()
    assert cells.images is not None
    assert sum(supply.flat.values()) > GRID, "the empty image's, and some of the other's"
    assert list(supply.flat) == ["rows,cols,image"]
    corner = views[views[:, :, :, 2].max(axis=(1, 2)) <= 24 * 40]
    assert len(corner) >= GRID, "the image with the empty corner shows its own views first"
