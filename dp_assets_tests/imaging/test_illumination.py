"""Illumination statistics against the recorded ones, scikit-image, scipy and plain counting."""

import io
from pathlib import Path

import numpy as np
import pytest
import skimage.filters
import skimage.morphology
import skimage.transform
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dp_assets.config.errors import ConfigurationError, ImageFileError
from dp_assets.imaging import illumination
from dp_assets.imaging.illumination import IlluminationAccumulator, IlluminationFunctions
from dp_assets_tests.imaging.golden_plate import CHANNELS, SHAPE, site_images

PLATES = ("SYN00001", "SYN00002")


def vignetted(shape: tuple[int, int], channels: int, seed: int, top: int = 4000) -> np.ndarray:
    """A noisy image, brighter in the middle."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(-1, 1, shape[0])[:, None, None]
    cols = np.linspace(-1, 1, shape[1])[None, :, None]
    light = top * (1 - 0.3 * (rows**2 + cols**2))
    return (light * rng.uniform(0.3, 1, (*shape, channels))).astype(np.uint16)


def planes(image: np.ndarray) -> list[np.ndarray]:
    return [image[:, :, number] for number in range(image.shape[2])]


def accumulated(images: list[np.ndarray], factor: float = 4, bits: int = 16) -> IlluminationAccumulator:
    names = [f"c{number}" for number in range(images[0].shape[2])]
    accumulator = IlluminationAccumulator(names, images[0].shape[:2], bits, factor)
    for image in images:
        accumulator.add(planes(image))
    return accumulator


def reference_function(mean_plane: np.ndarray, shape: tuple[int, int], size: float) -> np.ndarray:
    """The correction function as the specification words it, by scipy and scikit-image."""
    median = ndimage.median_filter(
        mean_plane.astype(np.uint16), footprint=skimage.morphology.disk(size / 2), mode="nearest"
    )
    full = skimage.transform.resize(median, shape, mode="reflect", anti_aliasing=True, preserve_range=True)
    floor = np.percentile(full, 2)
    return np.maximum(full, floor) / floor


@pytest.fixture(scope="module", params=PLATES)
def plate(
    request: pytest.FixtureRequest, golden: Path
) -> tuple[IlluminationFunctions, dict[str, np.ndarray]]:
    accumulator = IlluminationAccumulator(CHANNELS, SHAPE, 16, 4)
    for well, image in site_images(golden, request.param).items():
        accumulator.add(planes(image), name=well)
    with np.load(golden / f"illumination/{request.param}.npz") as recorded:
        return accumulator.finish(24), dict(recorded)


def test_recorded_statistics(plate: tuple[IlluminationFunctions, dict[str, np.ndarray]]) -> None:
    found, recorded = plate
    np.testing.assert_array_equal(found.histogram, recorded["histogram"])
    np.testing.assert_allclose(found.mean_image, recorded["mean_image"], rtol=1e-6)
    np.testing.assert_allclose(found.mean_values, recorded["mean_values"], rtol=1e-12)
    np.testing.assert_array_equal(found.lower_quantiles, recorded["lower_percentiles"])
    np.testing.assert_array_equal(found.upper_quantiles, recorded["upper_percentiles"])
    assert found.channels == CHANNELS
    assert (found.sites, found.flat_channels) == (4, ())


def test_recorded_functions(plate: tuple[IlluminationFunctions, dict[str, np.ndarray]]) -> None:
    found, recorded = plate
    functions = np.stack([found.function(channel) for channel in CHANNELS], axis=-1)
    summary = np.stack([functions.min((0, 1)), functions.max((0, 1)), functions.mean((0, 1))])
    np.testing.assert_allclose(summary, recorded["illum_correction_function_min_max_mean"], rtol=1e-6)
    if "illum_correction_function_every4" in recorded:
        every4 = recorded["illum_correction_function_every4"]
        np.testing.assert_allclose(functions[::4, ::4], every4, rtol=1e-6)
        whole = recorded["illum_correction_function_channel0_f32"]
        np.testing.assert_allclose(functions[:, :, 0], whole, rtol=1e-6)


@given(
    shape=st.tuples(st.integers(8, 70), st.integers(8, 70)),
    factor=st.one_of(st.sampled_from([1.0, 2.0, 4.0, 7.0]), st.floats(1, 7.9)),
)
@settings(max_examples=60, deadline=None)
def test_mean_image_for_any_size_and_factor(shape: tuple[int, int], factor: float) -> None:
    images = [vignetted(shape, 2, seed) for seed in (1, 2)]
    expected = sum(
        skimage.transform.resize(
            image,
            (shape[0] / factor, shape[1] / factor),
            mode="reflect",
            anti_aliasing=True,
            preserve_range=True,
        )
        for image in images
    )
    found = accumulated(images, factor).finish(4)
    np.testing.assert_allclose(found.mean_image, expected / 2, rtol=1e-9)


@pytest.mark.parametrize("size", [24, 25, 5, 2, 7.4])
def test_function_for_any_filter_size(size: float) -> None:
    image = vignetted((130, 173), 1, seed=4)
    found = accumulated([image], factor=3).finish(size)
    expected = reference_function(found.mean_image[:, :, 0], (130, 173), size)
    np.testing.assert_allclose(found.function(0), expected, rtol=1e-9)
    assert found.function("c0").min() == 1
    np.testing.assert_array_equal(
        found.smoothed[:, :, 0],
        skimage.filters.median(
            found.mean_image[:, :, 0].astype(np.uint16), skimage.morphology.disk(size / 2), mode="nearest"
        ),
    )


@pytest.mark.parametrize("size", [0, 1])
def test_a_filter_of_one_pixel_smooths_nothing(size: float) -> None:
    found = accumulated([vignetted((40, 40), 1, 0)]).finish(size)
    np.testing.assert_array_equal(found.smoothed, np.floor(found.mean_image))


def test_correction_evens_out_the_light() -> None:
    images = [vignetted((160, 160), 1, seed) for seed in range(12)]
    function = accumulated(images).finish(12).function(0)
    corrected = np.mean(images, axis=0)[:, :, 0] / function
    corner, middle = corrected[20:40, 20:40].mean(), corrected[70:90, 70:90].mean()
    before = np.mean(images, axis=0)[:, :, 0]
    assert before[70:90, 70:90].mean() / before[20:40, 20:40].mean() > 1.25
    assert abs(middle / corner - 1) < 0.05


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint8), (16, np.uint16)])
def test_histogram_and_quantiles_by_sorting(bits: int, dtype: type[np.unsignedinteger]) -> None:
    rng = np.random.default_rng(5)
    images = [np.minimum(rng.gamma(2, 20, (90, 110, 2)), np.iinfo(dtype).max).astype(dtype) for _ in range(3)]
    found = accumulated(images, bits=bits).finish(4)
    for channel in range(2):
        pixels = np.sort(np.concatenate([image[:, :, channel].ravel() for image in images]))
        counts = np.histogram(pixels, bins=2**bits, range=(0, 2**bits))[0]
        np.testing.assert_array_equal(found.histogram[channel], counts)
        assert found.mean_values[channel] == pytest.approx(pixels.mean(), rel=1e-12)
        # The first level whose cumulative count exceeds p*n is the sorted pixel at floor(p*n).
        assert found.lower_quantiles[channel] == pixels[int(0.0001 * len(pixels))]
        assert found.upper_quantiles[channel] == pixels[int(0.9999 * len(pixels))]


def test_a_resumed_sum_is_the_same_bit_for_bit() -> None:
    images = [vignetted((64, 80), 2, seed) for seed in range(5)]
    straight = accumulated(images, factor=3.3).finish(6)
    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, **accumulated(images[:2], factor=3.3).state())
    sink.seek(0)
    with np.load(sink, allow_pickle=False) as state:
        resumed = IlluminationAccumulator.from_state(state)
    assert resumed.sites == 2
    for image in images[2:]:
        resumed.add_measured(resumed.measure(planes(image)))
    for name, value in resumed.finish(6).to_arrays().items():
        np.testing.assert_array_equal(value, straight.to_arrays()[name], err_msg=name)


def test_a_state_is_a_snapshot() -> None:
    images = [vignetted((32, 32), 1, seed) for seed in range(2)]
    accumulator = accumulated(images[:1])
    state = accumulator.state()
    accumulator.add(planes(images[1]))
    assert IlluminationAccumulator.from_state(state).finish(3).mean_values == pytest.approx(images[0].mean())


def test_functions_survive_an_npz_without_pickle() -> None:
    functions = accumulated([vignetted((40, 50), 3, 0)]).finish(5)
    sink = io.BytesIO()
    np.savez_compressed(sink, allow_pickle=False, **functions.to_arrays())
    sink.seek(0)
    with np.load(sink, allow_pickle=False) as arrays:
        restored = IlluminationFunctions.from_arrays(arrays)
    assert restored.channels == functions.channels
    assert (restored.original_shape, restored.bits, restored.sites) == ((40, 50), 16, 1)
    assert restored.flat_channels == functions.flat_channels
    np.testing.assert_array_equal(restored.function("c2"), functions.function(2))
    np.testing.assert_array_equal(restored.histogram, functions.histogram)
    np.testing.assert_array_equal(restored.upper_quantiles, functions.upper_quantiles)


def test_a_dark_channel_gets_a_function_of_ones_and_is_named() -> None:
    image = vignetted((48, 48), 3, 0)
    image[:, :, 1] = 0
    # Less than one grey level on average: whole levels leave nothing to divide by.
    image[:, :, 2] = np.random.default_rng(0).random((48, 48)) < 0.3
    functions = accumulated([image]).finish(6)
    assert functions.flat_channels == ("c1", "c2")
    np.testing.assert_array_equal(functions.function("c1"), np.ones((48, 48)))
    np.testing.assert_array_equal(functions.function(2), np.ones((48, 48)))
    assert functions.function("c0").max() > 1
    assert functions.upper_quantiles[1] == 0


def test_an_image_of_another_size_is_named() -> None:
    accumulator = accumulated([vignetted((40, 40), 1, 0)])
    with pytest.raises(ImageFileError, match=r"(?s)P1/B02_s3\.tif.*40 x 41.*40 x 40"):
        accumulator.add(planes(vignetted((40, 41), 1, 0)), name="P1/B02_s3.tif")
    assert accumulator.sites == 1


def test_grey_levels_beyond_the_bits_are_refused() -> None:
    image = np.full((16, 16, 1), 255, dtype=np.uint16)
    accumulated([image], bits=8)
    image[3, 3] = 256
    with pytest.raises(ImageFileError, match=r"(?s)grey level of 256.*bits to 16"):
        accumulated([image], bits=8)


def test_a_plate_without_images_and_a_factor_too_large() -> None:
    with pytest.raises(ImageFileError, match="no usable image"):
        IlluminationAccumulator(["a"], (40, 40), 16, 4).finish(24)
    for factor in (500, 0, -2):
        with pytest.raises(ConfigurationError, match="down_scale_factor"):
            IlluminationAccumulator(["a"], (40, 40), 16, factor)


def test_arrays_of_another_kind_are_refused() -> None:
    accumulator = IlluminationAccumulator(["a"], (8, 8), 16, 2)
    with pytest.raises(ValueError, match="float64"):
        accumulator.add(np.zeros((1, 8, 8)))
    with pytest.raises(ValueError, match="channels"):
        accumulator.add(np.zeros((2, 8, 8), np.uint8))


@pytest.mark.parametrize("size", [2, 3, 4.5, 24, 61])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (40, 51)])
def test_the_median_is_that_of_scipy(size: float, shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(8).integers(0, 65535, shape, np.uint16)
    footprint = skimage.morphology.disk(size / 2)
    expected = ndimage.median_filter(plane, footprint=footprint, mode="nearest")
    np.testing.assert_array_equal(illumination._median(plane, footprint), expected)
