"""Compression against the recorded PNG files and scikit-image."""

from pathlib import Path

import numpy as np
import pytest
import skimage.exposure
import skimage.transform
import skimage.util
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.config.errors import ImageFileError
from dp_assets.imaging.compression import Stretch, compress_channel, scaled_shape
from dp_assets.imaging.illumination import IlluminationAccumulator
from dp_assets_tests.imaging.golden_plate import CHANNELS, SHAPE, compressed_image, site_images


def plane_and_function(shape: tuple[int, int] = (83, 61), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.gamma(2, 900, shape).astype(np.uint16), 1 + rng.random(shape)


@pytest.mark.parametrize(("plate", "well"), [("SYN00001", "A02"), ("SYN00002", "A03")])
def test_recorded_images_bit_for_bit(golden: Path, plate: str, well: str) -> None:
    images = site_images(golden, plate)
    accumulator = IlluminationAccumulator(CHANNELS, SHAPE, 16, 4)
    for image in images.values():
        accumulator.add(np.moveaxis(image, -1, 0))
    functions = accumulator.finish(24)
    found = {
        name: [
            compress_channel(image[:, :, i], functions.function(i), functions.upper_quantiles[i]).pixels
            for i in range(len(CHANNELS))
        ]
        for name, image in images.items()
    }
    np.testing.assert_array_equal(np.stack(found[well], axis=-1), compressed_image(golden, plate, well))
    controls = [
        sum(np.bincount(found[control][i].ravel(), minlength=256) for control in ("A01", "A04"))
        for i in range(len(CHANNELS))
    ]
    with np.load(golden / f"illumination/{plate}.npz") as recorded:
        np.testing.assert_array_equal(np.stack(controls), recorded["controls_distribution"])


@given(
    scale=st.sampled_from([1.0, 0.5, 0.37, 0.9, 1.5]),
    limit=st.sampled_from([2000.0, 1e9]),
    seed=st.integers(0, 20),
)
def test_stretch_per_image_against_skimage(scale: float, limit: float, seed: int) -> None:
    plane, function = plane_and_function(seed=seed)
    found = compress_channel(plane, function, limit, scaling_factor=scale)
    expected = plane / function
    if scale != 1:
        size = (int(scale * plane.shape[0]), int(scale * plane.shape[1]))
        expected = skimage.transform.resize(
            expected, size, mode="reflect", anti_aliasing=True, preserve_range=True
        )
    vmin, vmax = np.percentile(expected, [0.05, 99.95])
    vmax = min(vmax, limit)
    stretched = skimage.exposure.rescale_intensity(expected, in_range=(vmin, vmax), out_range=(0.0, 1.0))
    assert found.pixels.dtype == np.uint8
    assert found.pixels.shape == scaled_shape(plane.shape, scale)
    assert (found.vmin, found.vmax) == pytest.approx((vmin, vmax), rel=1e-9)
    assert not found.flat
    difference = np.abs(found.pixels.astype(int) - skimage.util.img_as_ubyte(stretched))
    # At scales other than 1 the sums run in another order: a value on the edge of rounding may fall to
    # either side.
    assert difference.max() <= (scale != 1)
    assert np.count_nonzero(difference) <= 2


def test_stretch_per_plate_keeps_brightness_between_images() -> None:
    plane, function = plane_and_function()
    bright = compress_channel(plane, function, 20_000.0, lower_limit=0.0, stretch="plate")
    dim = compress_channel(plane // 2, function, 20_000.0, lower_limit=0.0, stretch="plate")
    assert (bright.vmin, bright.vmax) == (dim.vmin, dim.vmax) == (0.0, 20_000.0)
    assert bright.pixels.mean() / dim.pixels.mean() == pytest.approx(2, rel=0.02)
    assert compress_channel(plane, function, 1e9).pixels.mean() == pytest.approx(
        compress_channel(plane // 2, function, 1e9).pixels.mean(), rel=0.02
    )


def test_pixels_stand_for_grey_levels_between_vmin_and_vmax() -> None:
    plane, function = plane_and_function()
    found = compress_channel(plane, function, 3000.0, lower_limit=100.0, stretch="plate")
    levels = found.vmin + found.pixels / 255 * (found.vmax - found.vmin)
    expected = np.clip(plane / function, 100, 3000)
    np.testing.assert_allclose(levels, expected, atol=(3000 - 100) / 255 / 2 + 1e-6)


def test_without_stretch_grey_levels_are_kept() -> None:
    plane, function = plane_and_function()
    found = compress_channel(plane, function, 10.0, stretch="none")
    assert found.pixels.dtype == np.uint16
    np.testing.assert_array_equal(found.pixels, np.rint(plane / function))
    assert (found.vmin, found.vmax, found.flat) == (0, 65535, False)
    constant = compress_channel(np.full((5, 5), 700, np.uint16), np.ones((5, 5)), 10.0, stretch="none")
    assert constant.flat
    assert (constant.pixels == 700).all()


@pytest.mark.parametrize("stretch", ["image", "plate"])
def test_a_flat_image_becomes_zeros(stretch: Stretch) -> None:
    found = compress_channel(
        np.full((9, 9), 700, np.uint16), np.ones((9, 9)), 700.0, lower_limit=700.0, stretch=stretch
    )
    assert found.flat
    np.testing.assert_array_equal(found.pixels, np.zeros((9, 9)))


def test_white_cut_below_black_gives_zeros() -> None:
    plane, function = plane_and_function()
    found = compress_channel(plane + np.uint16(5000), function, 100.0)
    assert found.flat
    assert found.pixels.max() == 0


def test_inputs_are_not_changed() -> None:
    plane, function = plane_and_function()
    kept = plane.copy(), function.copy()
    for scale in (1.0, 0.5):
        compress_channel(plane, function, 4000.0, scaling_factor=scale)
    np.testing.assert_array_equal(plane, kept[0])
    np.testing.assert_array_equal(function, kept[1])


def test_an_image_of_another_size_is_named() -> None:
    plane, function = plane_and_function()
    with pytest.raises(ImageFileError, match=r"(?s)B03\.tif.*82 x 61.*83 x 61"):
        compress_channel(plane[1:], function, 100.0, name="B03.tif")


def test_scaled_sizes_are_rounded_down() -> None:
    assert scaled_shape((1080, 1081), 0.5) == (540, 540)
    assert scaled_shape((3, 3), 0.1) == (1, 1)
