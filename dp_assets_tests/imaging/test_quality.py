"""Measures of single images: against known spectra, known noise, known clipping, and scikit-image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from skimage.measure import block_reduce

from dp_assets.imaging.quality import (
    MEASURES,
    block_means,
    measure_quality,
    noise_level,
    saturated_fraction,
)


def power_law(exponent: float, side: int = 256, seed: int = 0) -> np.ndarray:
    """An image whose power falls with frequency to this exponent, made in frequency space, uint16."""
    rng = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    radius[0, 0] = 1
    spectrum = np.fft.fft2(rng.normal(size=(side, side))) * radius ** (exponent / 2)
    image = np.fft.ifft2(spectrum).real
    image = (image - image.min()) / np.ptp(image)
    return (image * 60_000).astype(np.uint16)


@pytest.mark.parametrize("exponent", [-1.0, -2.0, -3.0])
def test_the_slope_is_the_exponent_of_the_spectrum(exponent: float) -> None:
    # The coarsest ring has a dozen waves: one image alone scatters.
    found = [measure_quality(power_law(exponent, seed=seed)) for seed in range(12)]
    assert np.mean([one.focus_slope for one in found]) == pytest.approx(exponent, abs=0.06)
    assert np.mean([one.coarse_slope for one in found]) == pytest.approx(exponent, abs=0.15)


def test_blur_makes_the_slope_steeper_the_more_the_blurrier() -> None:
    sharp = power_law(-2.0)
    slopes = [
        measure_quality(ndimage.gaussian_filter(sharp.astype(float), sigma).astype(np.uint16)).focus_slope
        for sigma in (0.0, 1.0, 2.0, 4.0)
    ]
    assert slopes == sorted(slopes, reverse=True)
    assert slopes[0] - slopes[2] > 1


@pytest.mark.parametrize("deviation", [3.0, 20.0, 200.0])
def test_noise_is_found_under_a_smooth_scene(deviation: float) -> None:
    rng = np.random.default_rng(1)
    scene = 2000 + 1500 * np.sin(np.linspace(0, 6, 256))[:, None] * np.cos(np.linspace(0, 5, 256))[None, :]
    image = np.round(scene + rng.normal(0, deviation, scene.shape)).astype(np.uint16)
    assert noise_level(image) == pytest.approx(deviation, rel=0.05)


def test_noise_is_never_less_than_rounding() -> None:
    assert noise_level(np.full((20, 20), 7, np.uint8)) == pytest.approx(12**-0.5)


@pytest.mark.parametrize(("top", "dtype"), [(4095, np.uint16), (65535, np.uint16), (255, np.uint8)])
def test_what_is_cut_off_counts_wherever_the_camera_ends(top: int, dtype: type) -> None:
    rng = np.random.default_rng(2)
    scene = rng.gamma(2.0, 0.1 * top, (300, 300))
    clipped = np.minimum(scene, top).astype(dtype)
    expected = (scene >= top).mean()
    assert expected > 0.0003
    assert saturated_fraction(clipped) == pytest.approx(expected, abs=1e-9)
    darker = (scene / scene.max() * top * 0.9).astype(dtype)
    assert saturated_fraction(darker) == 0


def test_images_of_one_grey_level() -> None:
    for value, saturated in ((0, 0.0), (7, 0.0), (255, 1.0)):
        found = measure_quality(np.full((40, 50), value, np.uint8))
        assert found.saturated_fraction == saturated
        assert np.isnan(found.focus_slope)
        assert found.p1 == found.p99_9 == value


@pytest.mark.parametrize("shape", [(64, 80), (67, 83), (129, 33)])
def test_block_means_are_those_of_scikit_image(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 65536, shape).astype(np.uint16)
    whole = image[: shape[0] // 4 * 4, : shape[1] // 4 * 4]
    np.testing.assert_allclose(block_means(image), block_reduce(whole, (4, 4), np.mean), rtol=1e-12)


def test_of_tall_images_some_rows_of_blocks_are_taken() -> None:
    image = np.random.default_rng(4).integers(0, 65536, (1080, 40)).astype(np.uint16)
    expected = block_reduce(image, (4, 4), np.mean)[::2]
    np.testing.assert_allclose(block_means(image), expected, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        fill=st.integers(0, 255),
    )
)
def test_any_image_has_measures_within_its_range(image: np.ndarray) -> None:
    found = measure_quality(image)
    assert len(found.values) == len(MEASURES)
    assert 0 <= found.saturated_fraction <= 1
    percentiles = [found.p1, found.p50, found.p75, found.p90, found.p97, found.p99_9]
    assert percentiles == sorted(percentiles)
    assert image.min() <= percentiles[0]
    assert percentiles[-1] <= image.max()
