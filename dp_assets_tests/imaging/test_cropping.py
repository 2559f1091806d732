"""Crops against the recorded ones and a loop over single samples."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from dp_assets.config.errors import ConfigurationError, LocationsError, ProjectError
from dp_assets.imaging.cropping import (
    CropGeometry,
    Sampling,
    crop_cells,
    extract_from_planes,
    extract_windows,
    nearest_pixels,
    resample_windows,
    window_origins,
    window_side,
)
from dp_assets.imaging.normalization import flat_channels, normalize_crops
from dp_assets.storage.images import read_image
from dp_assets_tests.imaging.golden_plate import CHANNELS, SHAPE, cell_centres, compressed_image

BOX = 96


def picture(shape: tuple[int, int], channels: int = 2, seed: int = 0) -> np.ndarray:
    """Pixels are never zero, so that a zero in a crop means outside."""
    return np.random.default_rng(seed).integers(1, 65536, (*shape, channels)).astype(np.uint16)


def looped_crop(
    image: np.ndarray,
    centre: tuple[float, float],
    box: int,
    original_shape: tuple[int, int],
    view: int | None = None,
) -> np.ndarray:
    """One crop, sample by sample, as the specification words it: positions in float32, values in float64."""
    side = view or box
    crop = np.zeros((box, box, image.shape[2]))
    places: list[list[float | None]] = []
    for axis in (0, 1):
        last = np.float32(image.shape[axis] - 1)
        size = np.float32(original_shape[axis])
        start = np.float32(centre[axis] - side / 2) / size
        end = np.float32(centre[axis] + side / 2) / size
        if box == 1:
            positions = [np.float32(0.5) * (start + end) * last]
        else:
            scale = (end - start) * last / np.float32(box - 1)
            positions = [start * last + np.float32(i) * scale for i in range(box)]
        places.append([float(place) if 0 <= place <= last else None for place in positions])
    for i, row in enumerate(places[0]):
        for j, col in enumerate(places[1]):
            if row is None or col is None:
                continue
            top, left = int(np.floor(row)), int(np.floor(col))
            bottom, right = int(np.ceil(row)), int(np.ceil(col))
            down, across = row - top, col - left
            above = (1 - across) * image[top, left] + across * image[top, right]
            below = (1 - across) * image[bottom, left] + across * image[bottom, right]
            crop[i, j] = (1 - down) * above + down * below
    return crop


def test_recorded_crops(golden: Path) -> None:
    image = compressed_image(golden, "SYN00001", "A02")
    centres, _ = cell_centres(golden, "SYN00001", "A02")
    crops = normalize_crops(crop_cells(image, centres, CropGeometry(BOX), SHAPE))
    with np.load(golden / "profile_SYN00001_A02_1.npz") as recorded:
        np.testing.assert_allclose(crops, recorded["crops"], rtol=0, atol=2e-5)


@pytest.mark.parametrize(("plate", "well", "target"), [("SYN00001", "A02", 0), ("SYN00002", "A03", 1)])
def test_recorded_exported_cells(golden: Path, plate: str, well: str, target: int) -> None:
    image = compressed_image(golden, plate, well)
    centres, names = cell_centres(golden, plate, well)
    geometry = CropGeometry(BOX, margin=7)
    origins = window_origins(centres, geometry, SHAPE, SHAPE)
    windows = extract_windows(image, origins, window_side(geometry, SHAPE, SHAPE))
    crops = normalize_crops(resample_windows(windows, origins, centres, geometry, SHAPE, SHAPE))
    for crop, name in zip(crops, names, strict=True):
        strip = np.concatenate([crop[:, :, channel] for channel in range(len(CHANNELS))], axis=1)
        stretched = np.floor(255 * ((strip - strip.min()) / (strip.max() - strip.min())))
        recorded = read_image(golden / f"single-cells/{plate}/{well}/1/{target}@{name}.png")
        np.testing.assert_array_equal(stretched.astype(np.uint8), recorded)


lengths = st.integers(1, 90)
shapes = st.tuples(lengths, lengths)
places = st.one_of(st.floats(-60, 150), st.integers(-60, 150).map(float), st.sampled_from([0.0, -1e7, 1e12]))
cells = st.lists(st.tuples(places, places), min_size=1, max_size=3)


views = st.one_of(st.none(), st.integers(1, 70))


@given(original=shapes, array=shapes, centres=cells, box=st.integers(1, 24), view=views)
@settings(max_examples=150, deadline=None)
def test_crops_are_those_of_the_loop(
    original: tuple[int, int],
    array: tuple[int, int],
    centres: list[tuple[float, float]],
    box: int,
    view: int | None,
) -> None:
    image = picture(array)
    crops = crop_cells(image, np.array(centres), CropGeometry(box, view_size=view), original)
    assert crops.dtype == np.float32
    for crop, centre in zip(crops, centres, strict=True):
        expected = looped_crop(image, centre, box, original, view)
        np.testing.assert_allclose(crop, expected, rtol=1e-5, atol=0.02)


@given(
    original=shapes,
    array=shapes,
    centres=cells,
    box=st.integers(1, 24),
    margin=st.integers(0, 9),
    sampling=st.sampled_from(["original", "exact"]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    view=views,
)
@settings(max_examples=300, deadline=None)
def test_a_window_holds_all_its_crop_is_made_from(
    original: tuple[int, int],
    array: tuple[int, int],
    centres: list[tuple[float, float]],
    box: int,
    margin: int,
    sampling: Sampling,
    dtype: type[np.unsignedinteger],
    view: int | None,
) -> None:
    if sampling == "exact":
        array, view = original, None
    image = picture(array).astype(dtype)
    geometry = CropGeometry(box, sampling, margin, view)
    where = np.array(centres)
    origins = window_origins(where, geometry, original, array)
    side = window_side(geometry, original, array)
    windows = extract_windows(image, origins, side)
    assert (windows.dtype, origins.dtype) == (dtype, np.int32)
    assert windows.shape == (len(centres), side, side, 2)
    from_windows = resample_windows(windows, origins, where, geometry, original, array)
    np.testing.assert_array_equal(
        from_windows, crop_cells(image, where, CropGeometry(box, sampling, view_size=view), original)
    )
    # The nearest pixels of a window's own pixel numbers say from where each sample was taken.
    numbers = np.arange(1, 1 + array[0] * array[1]).reshape(*array, 1)
    planes = extract_windows(numbers, origins, side)[..., 0]
    nearest = nearest_pixels(planes, origins, where, geometry, original, array)
    for axis, found in enumerate(np.divmod(nearest - 1, array[1])):
        ramp = np.indices(array)[axis][..., None].astype(np.float64)
        exact = crop_cells(ramp, where, CropGeometry(box, sampling, view_size=view), original)[..., 0]
        assert (np.abs(found - exact)[nearest > 0] <= 0.5 + 1e-3).all()
    everywhere = crop_cells(np.ones((*array, 1)), where, geometry, original)[..., 0]
    np.testing.assert_array_equal(nearest > 0, everywhere > 0)


@given(
    size=st.integers(1000, 20_000),
    scale=st.floats(0.2, 1.2),
    box=st.integers(2, 300),
    place=st.floats(0, 1),
    margin=st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_windows_are_wide_enough_in_large_images(
    size: int, scale: float, box: int, place: float, margin: int
) -> None:
    # A single row of pixels, so that even 20,000 of them are quick.
    original, array = (1, size), (1, max(1, int(scale * size)))
    geometry = CropGeometry(box, margin=margin)
    centres = np.array([[box / 2, place * size]])
    origin = int(window_origins(centres, geometry, original, array)[0, 1])
    last = array[1] - 1
    start, end = (np.float32(centres[0, 1] + half) / np.float32(size) for half in (-box / 2, box / 2))
    positions = start * np.float32(last) + np.arange(box, dtype=np.float32) * (
        (end - start) * np.float32(last) / np.float32(box - 1)
    )
    used = positions[(positions >= 0) & (positions <= last)]
    if len(used):
        assert np.floor(used[0]) >= origin + margin
        assert np.ceil(used[-1]) <= origin + window_side(geometry, original, array) - 1 - margin


@given(origin=st.tuples(st.integers(-70, 70), st.integers(-70, 70)), side=st.integers(1, 40), shape=shapes)
def test_windows_are_cuts_of_the_padded_image(
    origin: tuple[int, int], side: int, shape: tuple[int, int]
) -> None:
    image = picture(shape)
    padded = np.pad(image, ((120, 120), (120, 120), (0, 0)))
    row, col = origin[0] + 120, origin[1] + 120
    found = extract_windows(image, np.array([origin], np.int32), side)[0]
    expected = padded[row : row + side, col : col + side]
    np.testing.assert_array_equal(found[: expected.shape[0], : expected.shape[1]], expected)
    assert not found[expected.shape[0] :].any()
    assert not found[:, expected.shape[1] :].any()


@pytest.mark.parametrize(
    ("box", "centre", "first"),
    [
        (4, (10.0, 20.0), (8, 18)),
        (4, (10.3, 20.9), (9, 19)),
        (5, (10.0, 20.0), (8, 18)),
        (5, (10.4, 20.6), (8, 19)),
        (4, (1.0, 29.0), (-1, 27)),
    ],
)
def test_exact_windows(box: int, centre: tuple[float, float], first: tuple[int, int]) -> None:
    image = picture((30, 30))
    crop = crop_cells(image, np.array([centre]), CropGeometry(box, "exact"), (30, 30))[0]
    padded = np.pad(image, ((9, 9), (9, 9), (0, 0)))
    row, col = first[0] + 9, first[1] + 9
    np.testing.assert_array_equal(crop, padded[row : row + box, col : col + box])
    # No other whole-pixel window has its middle nearer to the centre.
    for axis in (0, 1):
        assert abs(first[axis] + (box - 1) / 2 - centre[axis]) <= 0.5


def test_exact_needs_the_original_size() -> None:
    geometry = CropGeometry(8, "exact")
    with pytest.raises(ProjectError, match="exact"):
        crop_cells(picture((20, 20)), np.array([[5.0, 5.0]]), geometry, (40, 40))
    with pytest.raises(ConfigurationError):
        window_side(geometry, (40, 40), (20, 20))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_centre_that_is_no_number_is_named(value: float) -> None:
    centres = np.array([[5.0, 5.0], [value, 5.0], [6.0, value]])
    for sampling in ("original", "exact"):
        with pytest.raises(LocationsError, match=r"cell 1 .*2 such cells"):
            crop_cells(picture((20, 20)), centres, CropGeometry(8, sampling), (20, 20))


def test_no_cells_and_boxes_outside() -> None:
    image = picture((20, 20), channels=3)
    assert crop_cells(image, np.empty((0, 2)), CropGeometry(8), (20, 20)).shape == (0, 8, 8, 3)
    for far in (-1e6, 1e6, 1e300):
        crops = crop_cells(image, np.array([[far, 5.0], [5.0, far]]), CropGeometry(8), (20, 20))
        assert not crops.any()
    assert crop_cells(image, np.array([[5.0, 5.0]]), CropGeometry(8), (20, 20)).all()


def test_many_cells_do_not_depend_on_each_other() -> None:
    image = picture((70, 80))
    centres = np.random.default_rng(1).uniform(-5, 85, (101, 2))
    together = crop_cells(image, centres, CropGeometry(12), (70, 80))
    for cell in (0, 31, 32, 33, 100):
        alone = crop_cells(image, centres[cell : cell + 1], CropGeometry(12), (70, 80))
        np.testing.assert_array_equal(together[cell], alone[0])


def test_a_view_of_the_whole_image_is_the_image_resized() -> None:
    """Corner-aligned bilinear resizing of scipy, where the view is as large as the image."""
    image = picture((65, 65), channels=3)
    geometry = CropGeometry(33, view_size=65)
    crop = crop_cells(image, np.array([[32.5, 32.5]]), geometry, (65, 65))[0]
    places = np.linspace(0, 64, 33)
    grid = np.meshgrid(places, places, indexing="ij")
    for channel in range(3):
        expected = map_coordinates(image[..., channel].astype(float), grid, order=1)
        np.testing.assert_allclose(crop[..., channel], expected, atol=0.5)


def test_what_a_geometry_says_of_itself() -> None:
    assert CropGeometry(9, margin=2).facts() == {"box_size": 9, "sampling": "original", "margin": 2}
    for geometry in (CropGeometry(9, "exact", 3), CropGeometry(9, margin=2, view_size=40)):
        assert CropGeometry(**geometry.facts()) == geometry
    assert CropGeometry(9, view_size=9).view == CropGeometry(9).view == 9


def test_whole_pixels_cannot_be_resized() -> None:
    with pytest.raises(ConfigurationError, match="view_size is 16 and box_size 8"):
        CropGeometry(8, "exact", view_size=16)
    assert CropGeometry(8, "exact", view_size=8).view == 8


def test_wrong_arguments_are_refused() -> None:
    image = picture((20, 20))
    with pytest.raises(ValueError, match="box_size=0"):
        CropGeometry(0)
    with pytest.raises(ValueError, match="nearest"):
        CropGeometry(8, "nearest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="view_size >= 1"):
        CropGeometry(8, view_size=0)
    with pytest.raises(ValueError, match="centres"):
        crop_cells(image, np.zeros((3, 3)), CropGeometry(8), (20, 20))
    with pytest.raises(ValueError, match="image"):
        crop_cells(image[:, :, 0], np.zeros((3, 2)), CropGeometry(8), (20, 20))
    with pytest.raises(ValueError, match="windows"):
        resample_windows(
            np.zeros((1, 9, 9, 2)), np.zeros((1, 2)), np.zeros((1, 2)), CropGeometry(8), (20, 20), (20, 20)
        )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_windows_of_planes_are_those_of_their_stack(dtype: type) -> None:
    rng = np.random.default_rng(4)
    planes = [rng.integers(0, 255, (31, 23)).astype(dtype) for _ in range(3)]
    corners = np.array([[3, 4], [-5, -6], [25, 19], [-40, 2], [2, 90], [-9, -9], [31, 23], [0, 0]])
    for side in (1, 8, 9, 50):
        found = extract_from_planes(planes, corners, side)
        expected = extract_windows(np.stack(planes, axis=-1), corners, side)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(flat_channels(found), flat_channels(expected))
