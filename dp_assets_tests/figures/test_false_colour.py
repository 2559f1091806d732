"""Stretching, mixing and shrinking of pictures against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import block_reduce

from dp_assets.figures.false_colour import CHANNEL_COLOURS, channel_colours, composite, shrink, stretch


def test_stretch_puts_the_percentiles_of_each_channel_at_0_and_1() -> None:
    rng = np.random.default_rng(1)
    image = np.stack([rng.normal(1000, 50, (80, 90)), rng.normal(9, 1, (80, 90))], axis=-1)
    stretched = stretch(image)
    for i in range(2):
        low, high = np.percentile(image[..., i], [1.0, 99.7])
        expected = np.clip((image[..., i] - low) / (high - low), 0, 1)
        assert np.abs(stretched[..., i] - expected).max() <= 0.5 / 31 + 1e-4
        assert stretched[..., i].min() == 0
        assert stretched[..., i].max() == 1


def test_a_flat_channel_is_black_and_a_lone_bright_spot_still_shows() -> None:
    image = np.full((100, 100, 2), 7, np.uint16)
    image[50, 50, 1] = 4000
    stretched = stretch(image)
    assert not stretched[..., 0].any()
    assert stretched[50, 50, 1] == 1


def test_pixels_that_are_not_numbers_do_not_spoil_the_rest() -> None:
    image = np.random.default_rng(0).random((30, 30, 1))
    image[0, 0] = np.nan
    assert np.isfinite(stretch(image)).all()
    assert stretch(image).max() == 1


def test_each_channel_alone_shows_in_its_colour() -> None:
    for i in range(3):
        pure = np.zeros((1, 1, 3), np.float32)
        pure[..., i] = 1
        np.testing.assert_allclose(composite(pure)[0, 0], CHANNEL_COLOURS[i], rtol=1e-6)


@settings(max_examples=50, deadline=None)
@given(count=st.integers(1, 9), seed=st.integers(0, 1000))
def test_mixtures_stay_in_range_and_keep_the_hue(count: int, seed: int) -> None:
    channels = np.random.default_rng(seed).random((4, 5, count)).astype(np.float32)
    mixed = composite(channels)
    plain_sum = np.einsum("rcn,nk->rck", channels, channel_colours(count))
    assert mixed.shape == (4, 5, 3)
    assert mixed.min() >= 0
    assert mixed.max() <= 1 + 1e-6
    ratio = mixed / plain_sum
    np.testing.assert_allclose(ratio, ratio[..., :1].repeat(3, axis=-1), rtol=1e-4)


def test_shrinking_averages_blocks() -> None:
    image = np.random.default_rng(3).random((60, 90, 2)).astype(np.float32)
    np.testing.assert_allclose(shrink(image, 30), block_reduce(image, (3, 3, 1), np.mean), rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "longest"), [((61, 92), 30), ((10, 400), 50), ((3, 500), 40), ((20, 20), 50)]
)
def test_shrinking_works_for_any_shape(shape: tuple[int, int], longest: int) -> None:
    small = shrink(np.ones((*shape, 2), np.uint16), longest)
    assert min(small.shape) > 0
    assert (small == 1).all()
    if min(shape) > max(shape) / longest:
        assert max(small.shape[:2]) <= longest
