"""Masks against the recorded ones, scikit-image and loops over single samples."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label

from dp_assets.config.errors import ImageFileError
from dp_assets.imaging.cropping import (
    CropGeometry,
    crop_cells,
    extract_windows,
    window_origins,
    window_side,
)
from dp_assets.imaging.masks import (
    MaskSampling,
    PlateMasks,
    cell_objects,
    crop_masks,
    masked,
    object_labels,
    own_windows,
)
from dp_assets.imaging.normalization import normalize_crops
from dp_assets.storage.image_sites import ImageSite
from dp_assets.storage.images import read_image
from dp_assets.storage.label_images import read_label_image
from dp_assets.storage.plate_outlines import SiteOutlines
from dp_assets_tests.imaging.golden_plate import CHANNELS, SHAPE, cell_centres, compressed_image
from dp_assets_tests.made_outlines import disks, drawn_outlines


def masks_of(
    labels: np.ndarray,
    centres: np.ndarray,
    geometry: CropGeometry,
    sampling: MaskSampling,
    array_shape: tuple[int, int] | None = None,
) -> np.ndarray:
    """All of the module, one after the other: labels to (cells, box, box) bool."""
    shape = (labels.shape[0], labels.shape[1])
    array = array_shape or shape
    objects = cell_objects(labels, centres, sampling)
    origins, side = window_origins(centres, geometry, shape, array), window_side(geometry, shape, array)
    planes = own_windows(labels, objects, origins, side, array, sampling)
    assert set(np.unique(planes)) <= {0, 255}
    return crop_masks(planes, origins, centres, geometry, shape, array, sampling)


def same_objects(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two label images differ in their numbers only."""
    pairs = {(int(a), int(b)) for a, b in zip(found.ravel(), expected.ravel(), strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def recorded_outlines(golden: Path) -> np.ndarray:
    return read_label_image(golden / "inputs/outlines/SYN00001/A02_s1_outlines.png")


@pytest.mark.parametrize("value", [1, 255])
def test_recorded_objects(golden: Path, value: int) -> None:
    """Outlines of 0 and 255, which the original takes for objects, are the same as of 0 and 1."""
    with np.load(golden / "masked_SYN00001_A02_1.npz") as recorded:
        expected = recorded["label_image"]
    found = object_labels(recorded_outlines(golden) * np.uint8(value))
    np.testing.assert_array_equal(found == 0, expected == 0)
    assert same_objects(found, expected)


def test_recorded_masked_crops(golden: Path) -> None:
    labels = object_labels(recorded_outlines(golden))
    image = compressed_image(golden, "SYN00001", "A02")
    centres, _ = cell_centres(golden, "SYN00001", "A02")
    geometry = CropGeometry(96, margin=5)
    own = masks_of(labels, centres, geometry, "original")
    crops = normalize_crops(masked(crop_cells(image, centres, geometry, SHAPE), own))
    with np.load(golden / "masked_SYN00001_A02_1.npz") as recorded:
        np.testing.assert_allclose(crops[:4], recorded["crops_first4"], rtol=0, atol=2e-5)
        np.testing.assert_allclose(crops.sum((1, 2), dtype=np.float64), recorded["crop_sums"], rtol=1e-7)
        np.testing.assert_array_equal((crops != 0).sum((1, 2)), recorded["nonzero"])


def test_recorded_exported_masks(golden: Path) -> None:
    """The exported strips hold the crops before masking, and the mask as one more channel."""
    labels = object_labels(recorded_outlines(golden))
    image = compressed_image(golden, "SYN00001", "A02")
    centres, names = cell_centres(golden, "SYN00001", "A02")
    crops = normalize_crops(crop_cells(image, centres, CropGeometry(96), SHAPE))
    own = masks_of(labels, centres, CropGeometry(96), "original")
    for crop, mask, name in zip(crops, own, names, strict=True):
        planes = [*(crop[:, :, channel] for channel in range(len(CHANNELS))), mask]
        strip = np.concatenate(planes, axis=1).astype(np.float32)
        stretched = np.floor(255 * ((strip - strip.min()) / (strip.max() - strip.min())))
        recorded = read_image(golden / f"single-cells-masked/SYN00001/A02/1/0@{name}.png")
        np.testing.assert_array_equal(stretched.astype(np.uint8), recorded)


def test_nearest_masks_are_the_recorded_ones_and_their_edges(golden: Path) -> None:
    labels = object_labels(recorded_outlines(golden))
    centres, _ = cell_centres(golden, "SYN00001", "A02")
    eroded = masks_of(labels, centres, CropGeometry(96), "original")
    whole = masks_of(labels, centres, CropGeometry(96), "nearest")
    assert not (eroded & ~whole).any()
    assert (whole.sum((1, 2)) > eroded.sum((1, 2))).all()


binary = st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1), st.floats(0.05, 0.6))


@given(picture=binary, value=st.sampled_from([1, 2, 255]))
@settings(max_examples=100, deadline=None)
def test_regions_between_outlines(picture: tuple[int, int, int, float], value: int) -> None:
    rows, cols, seed, share = picture
    drawn = np.random.default_rng(seed).random((rows, cols)) < share
    # Two regions at least, or the lines enclose nothing.
    drawn[rows // 2] = True
    expected = label(drawn.astype(int), background=1, connectivity=2)
    if drawn.all() or expected.max() < 2:
        return
    found = object_labels((drawn * value).astype(np.uint8))
    np.testing.assert_array_equal(found == 0, drawn)
    assert same_objects(found, expected)


def test_the_background_outside_all_outlines_is_an_object_too() -> None:
    labels = disks((40, 60), np.array([(20.0, 20.0), (20.0, 44.0)]), radius=9)
    found = object_labels(drawn_outlines(labels))
    centres = np.array([(20.0, 20.0), (20.0, 44.0), (6.0, 32.0)])
    objects = cell_objects(found, centres, "nearest")
    assert len(set(objects)) == 3
    assert 0 not in objects
    own = masks_of(found, centres, CropGeometry(60), "nearest")
    # The cell in the background keeps it without the others; nothing belongs to two cells.
    first = np.asarray(own[0], int)
    assert first.sum() < (labels == 1).sum()
    background = own_windows(found, objects, np.zeros((3, 2), int), 60, (40, 60), "nearest")[2] > 0
    np.testing.assert_array_equal(background[:40], (found == objects[2]) & (labels == 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int32, np.int64])
def test_label_images_are_taken_as_they_are(dtype: type[np.integer]) -> None:
    labels = disks((30, 40), np.array([(8.0, 8.0), (20.0, 30.0), (9.0, 30.0)])).astype(dtype)
    np.testing.assert_array_equal(object_labels(labels), labels)


def test_unusual_images() -> None:
    for value in (0, 7):
        assert not object_labels(np.full((5, 6), value, np.uint16)).any()
    # Labels without background, labels with the watershed lines of other programs.
    tiles = np.repeat(np.array([[1, 2]], np.uint8), 4, axis=0)
    np.testing.assert_array_equal(object_labels(tiles), tiles)
    lines = np.array([[3, -1, 5], [3, -1, 0]], np.int32)
    np.testing.assert_array_equal(object_labels(lines), [[3, 0, 5], [3, 0, 0]])
    huge = np.array([[0, 4_000_000_000], [4_294_967_295, 0]], np.uint32)
    np.testing.assert_array_equal(object_labels(huge), huge)


@pytest.mark.parametrize("value", [1, 255])
def test_a_single_labelled_object_is_not_taken_for_its_outline(value: int) -> None:
    one = (disks((30, 40), np.array([(12.0, 15.0)])) > 0).astype(np.uint8) * np.uint8(value)
    np.testing.assert_array_equal(object_labels(one) > 0, one > 0)
    two = (disks((30, 40), np.array([(8.0, 10.0), (20.0, 30.0)])) > 0).astype(np.uint8)
    assert same_objects(object_labels(two * np.uint8(value)), label(two))


@given(
    shape=st.tuples(st.integers(1, 25), st.integers(1, 25)),
    centre=st.tuples(st.floats(-40, 60), st.floats(-40, 60)),
    seed=st.integers(0, 1000),
    values=st.sampled_from([3, 2**32]),
)
@settings(max_examples=150, deadline=None)
def test_the_object_of_a_cell_is_the_median_label(
    shape: tuple[int, int], centre: tuple[float, float], seed: int, values: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, values, shape).astype(np.uint32)
    row, col = (math.floor(place) for place in centre)
    window = [
        int(labels[i, j])
        for i in range(row - 5, row + 5)
        for j in range(col - 5, col + 5)
        if 0 <= i < shape[0] and 0 <= j < shape[1]
    ]
    where = np.array([centre])
    original, nearest = (int(cell_objects(labels, where, way)[0]) for way in ("original", "nearest"))
    if not window:
        assert (original, nearest) == (0, 0)
        return
    median = float(np.median(window))
    assert original == (median if median in window else -1)
    assert nearest == sorted(window)[len(window) // 2]


def looped_mask(
    labels: np.ndarray, wanted: int, centre: tuple[float, float], geometry: CropGeometry, way: str
) -> np.ndarray:
    """One mask sample by sample; positions in float32 as the specification words them."""
    box, view = geometry.box_size, geometry.view
    places = []
    for axis in (0, 1):
        last, size = np.float32(labels.shape[axis] - 1), np.float32(labels.shape[axis])
        start = np.float32(centre[axis] - view / 2) / size
        scale = (np.float32(centre[axis] + view / 2) / size - start) * last / np.float32(box - 1)
        places.append([start * last + np.float32(i) * scale for i in range(box)])
    own = np.zeros((box, box), bool)
    for i, row in enumerate(places[0]):
        for j, col in enumerate(places[1]):
            if not (0 <= row <= labels.shape[0] - 1 and 0 <= col <= labels.shape[1] - 1):
                continue
            if way == "nearest":
                own[i, j] = labels[math.floor(float(row) + 0.5), math.floor(float(col) + 0.5)] == wanted
            else:
                rows, cols = ([math.floor(place), math.ceil(place)] for place in (row, col))
                corners = labels[np.ix_(rows, cols)]
                own[i, j] = (corners == wanted).all()
    return own


@given(
    centre=st.tuples(st.floats(-5, 35), st.floats(-5, 45)),
    box=st.integers(2, 16),
    view=st.none() | st.integers(2, 30),
    margin=st.integers(0, 3),
    seed=st.integers(0, 99),
    way=st.sampled_from(["nearest", "original"]),
)
@settings(max_examples=150, deadline=None)
def test_masks_are_those_of_the_loop(
    centre: tuple[float, float], box: int, view: int | None, margin: int, seed: int, way: Any
) -> None:
    generator = np.random.default_rng(seed)
    places = np.stack([generator.uniform(0, 30, 5), generator.uniform(0, 40, 5)], axis=1)
    labels = disks((30, 40), places)
    geometry = CropGeometry(box, margin=margin, view_size=view)
    own = masks_of(labels, np.array([centre]), geometry, way)[0]
    wanted = int(cell_objects(labels, np.array([centre]), way)[0])
    if wanted == -1 or (wanted == 0 and way == "nearest"):
        assert not own.any()
    else:
        np.testing.assert_array_equal(own, looped_mask(labels, wanted, centre, geometry, way))


def test_a_cell_on_no_object() -> None:
    labels = disks((30, 40), np.array([(8.0, 8.0), (20.0, 30.0)]))
    centre = np.array([(25.0, 8.0), (8.0, 8.0), (-90.0, 8.0)])
    assert cell_objects(labels, centre, "nearest").tolist() == [0, 1, 0]
    nearest = masks_of(labels, centre, CropGeometry(12), "nearest")
    assert [mask.any() for mask in nearest] == [False, True, False]
    # The original keeps what has the label 0, as it does with any other.
    original = masks_of(labels, centre, CropGeometry(30), "original")
    assert [mask.any() for mask in original] == [True, True, False]


def test_exact_masks_are_pixels() -> None:
    labels = disks((30, 40), np.array([(8.0, 8.0), (20.0, 30.0)]))
    centres = np.array([(20.2, 30.4)])
    geometry = CropGeometry(14, "exact", 2)
    first = window_origins(centres, geometry, (30, 40), (30, 40)) + 2
    expected = extract_windows(labels[..., None], first, 14)[..., 0] == 2
    for way in ("nearest", "original"):
        np.testing.assert_array_equal(masks_of(labels, centres, geometry, way), expected)


def test_scaled_images_take_the_mask_of_the_same_place() -> None:
    """A disk keeps its place and its share of the crop, whatever the size of the image that is cut."""
    labels = disks((120, 160), np.array([(40.0, 70.0), (80.0, 100.0)]), radius=20)
    centres = np.array([(80.0, 100.0)])
    full = masks_of(labels, centres, CropGeometry(60), "nearest")[0]
    for array in ((60, 80), (84, 112), (30, 40)):
        scaled = masks_of(labels, centres, CropGeometry(60), "nearest", array)[0]
        assert (scaled != full).mean() < 0.06
        middle = np.argwhere(scaled).mean(axis=0)
        assert np.abs(middle - np.argwhere(full).mean(axis=0)).max() < 120 / array[0]


def site_of(shape: tuple[int, int]) -> ImageSite:
    return ImageSite("P1", "A01", "1", shape, (), (), ())


def test_an_outline_image_that_changed_its_size(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 30), np.uint16))
    masks = PlateMasks({("A01", "1"): SiteOutlines(tmp_path / "a.tif", "")})
    with pytest.raises(ImageFileError, match=r"20 x 30; expected 30 x 20"):
        masks.windows(site_of((30, 20)), np.zeros((1, 2)), np.zeros((1, 2), int), 4, (30, 20), 10**6)
