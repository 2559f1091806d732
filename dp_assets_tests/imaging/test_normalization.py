"""Normalisation, one crop and channel at a time."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.imaging.normalization import Normalization, flat_channels, normalize_crops


def some_crops(cells: int = 4, rows: int = 9, cols: int = 9, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(50, 60_000, (cells, rows, cols, channels)).astype(np.float32)


def each(crops: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Every crop and channel on its own: (cell, channel, plane in float64)."""
    for cell in range(crops.shape[0]):
        for channel in range(crops.shape[3]):
            yield cell, channel, crops[cell, :, :, channel].astype(np.float64)


@given(cells=st.integers(1, 5), side=st.integers(2, 12), channels=st.integers(1, 6), seed=st.integers(0, 50))
def test_minmax_and_zscore(cells: int, side: int, channels: int, seed: int) -> None:
    crops = some_crops(cells, side, side + 1, channels, seed)
    kept = crops.copy()
    minmax, zscore = normalize_crops(crops), normalize_crops(crops, "zscore")
    np.testing.assert_array_equal(crops, kept)
    assert (minmax.dtype, zscore.dtype) == (np.float32, np.float32)
    for cell, channel, plane in each(crops):
        expected = (plane - plane.min()) / (plane.max() - plane.min() + 1e-7)
        np.testing.assert_allclose(minmax[cell, :, :, channel], expected, atol=1e-6)
        expected = (plane - plane.mean()) / plane.std()
        np.testing.assert_allclose(zscore[cell, :, :, channel], expected, atol=1e-4)


def test_plate_range_keeps_brightness() -> None:
    crops = some_crops()
    lower, upper = np.array([100.0, 0.0, 5000.0]), np.array([50_000.0, 65_535.0, 20_000.0])
    found = normalize_crops(crops, "plate", (lower, upper))
    for cell, channel, plane in each(crops):
        expected = np.clip((plane - lower[channel]) / (upper[channel] - lower[channel]), 0, 1)
        np.testing.assert_allclose(found[cell, :, :, channel], expected, atol=1e-6)
    assert found[..., 2].max() == 1


def test_a_channel_whose_plate_range_is_empty_becomes_zeros() -> None:
    crops = some_crops()
    lower, upper = np.array([0.0, 900.0, 7.0]), np.array([1000.0, 900.0, 5.0])
    found = normalize_crops(crops, "plate", (lower, upper))
    assert not found[..., 1:].any()
    assert found[..., 0].any()


def test_none_scales_by_nothing() -> None:
    crops = some_crops()
    found = normalize_crops(crops, "none")
    np.testing.assert_array_equal(found, crops)
    assert not np.shares_memory(found, crops)


@pytest.mark.parametrize("method", ["minmax", "zscore"])
@pytest.mark.parametrize("level", [0.0, 0.1, 700.3, 65_535.0])
def test_flat_channels_become_zeros_and_are_found(method: Normalization, level: float) -> None:
    crops = some_crops(cells=3)
    crops[1, :, :, 2] = level
    found = normalize_crops(crops, method)
    assert not found[1, :, :, 2].any()
    assert np.isfinite(found).all()
    expected = np.zeros((3, 3), bool)
    expected[1, 2] = True
    np.testing.assert_array_equal(flat_channels(crops), expected)
    np.testing.assert_array_equal(flat_channels(crops.astype(np.uint16)), expected)


def test_only_samples_inside_a_mask_say_whether_it_is_flat() -> None:
    crops = some_crops(cells=4)
    masks = np.zeros((4, 9, 9), bool)
    masks[:3, 2:6, 3:7] = True
    crops[1, 2:6, 3:7, 0] = 77
    masks[2, 2:6, 3:7] = False
    masks[2, 4, 4] = True
    found = flat_channels(crops, masks)
    # One has contrast, one is flat in a channel, one is a single sample, one has an empty mask.
    np.testing.assert_array_equal(found, [[0, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1]])
    assert not flat_channels(crops)[1].any()
    assert flat_channels(np.empty((0, 8, 8, 3), np.uint8), np.empty((0, 8, 8), bool)).shape == (0, 3)


def test_nan_stays_in_its_crop_and_channel() -> None:
    crops = some_crops()
    crops[2, 4, 4, 1] = np.nan
    found = normalize_crops(crops)
    assert np.isnan(found[2, :, :, 1]).all()
    others = np.delete(found.reshape(4, -1, 3).transpose(0, 2, 1).reshape(12, -1), 2 * 3 + 1, axis=0)
    assert np.isfinite(others).all()


@pytest.mark.parametrize("method", ["minmax", "none", "zscore"])
def test_no_cells(method: Normalization) -> None:
    assert normalize_crops(np.empty((0, 8, 8, 3), np.float32), method).shape == (0, 8, 8, 3)
    assert flat_channels(np.empty((0, 8, 8, 3), np.uint8)).shape == (0, 3)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="median"):
        normalize_crops(some_crops(), "median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="plate"):
        normalize_crops(some_crops(), "plate")
    with pytest.raises(ValueError, match="3 channels"):
        normalize_crops(some_crops(), "plate", (np.zeros(2), np.ones(2)))
    with pytest.raises(ValueError, match="shape"):
        normalize_crops(np.zeros((4, 4, 3)))
