"""Crops as networks of other sizes and of colour images take them."""

from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from dp_assets.profiling.network_input import grey_images, resized_crops


def sampled(plane: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """A square plane at the crossings of these positions, the pixels at its edge repeated."""
    grid = np.meshgrid(positions, positions, indexing="ij")
    return map_coordinates(plane.astype(np.float64), grid, order=1, mode="nearest")


@pytest.mark.parametrize(("size", "new_size"), [(8, 21), (12, 12), (9, 5), (1, 4)])
def test_resized_crops_are_bilinear_between_pixel_centres(size: int, new_size: int) -> None:
    crops = np.random.default_rng(0).random((3, size, size, 2), np.float32)
    found = np.asarray(resized_crops(size, new_size, 2)(crops))
    assert found.shape == (3, new_size, new_size, 2)
    positions = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    for cell, channel in np.ndindex(3, 2):
        expected = sampled(crops[cell, ..., channel], positions)
        np.testing.assert_allclose(found[cell, ..., channel], expected, atol=1e-5)


@pytest.mark.parametrize(("size", "new_size"), [(8, 21), (12, 12), (9, 5)])
def test_grey_images_are_stretched_by_their_own_range(size: int, new_size: int) -> None:
    crops = np.random.default_rng(1).uniform(50, 900, (4, size, size, 1)).astype(np.float32)
    found = np.asarray(grey_images(size, new_size)(crops))
    assert (found.shape, found.dtype) == ((4, new_size, new_size, 3), np.float32)
    for cell in range(4):
        plane = sampled(crops[cell, ..., 0], np.arange(new_size) * size / new_size)
        expected = (plane - plane.min()) / (plane.max() - plane.min()) * 2 - 1
        np.testing.assert_allclose(found[cell, ..., 0], expected, atol=1e-4)
        np.testing.assert_allclose([found[cell].min(), found[cell].max()], [-1, 1], atol=1e-6)
    np.testing.assert_array_equal(found[..., 1], found[..., 0])
    np.testing.assert_array_equal(found[..., 2], found[..., 0])


@pytest.mark.parametrize("level", [0.0, 1.0, 4711.0])
def test_a_flat_channel_is_zeros(level: float) -> None:
    crops = np.random.default_rng(2).random((3, 8, 8, 1), np.float32)
    crops[1] = level
    found = np.asarray(grey_images(8, 16)(crops))
    assert np.isfinite(found).all()
    assert not found[1].any()
    np.testing.assert_array_equal(found[[0, 2]], np.asarray(grey_images(8, 16)(crops[[0, 2]])))


def test_recorded_images_are_reproduced(golden: Path) -> None:
    """What the original fed to a network of colour images, rows in the order channel, cell."""
    crops = np.load(golden / "profile_SYN00001_A02_1.npz")["crops"][:2]
    with np.load(golden / "repeat_channels.npz") as recorded:
        first_cell, means = recorded["plane0_cell0"], recorded["row_mean_all"]
    front = grey_images(96, 224)
    assert isinstance(front, keras.Model)
    images = np.stack([np.asarray(front(crops[..., channel : channel + 1])) for channel in range(5)])
    np.testing.assert_allclose(images[:, 0, :, :, 0], first_cell, atol=2e-6)
    np.testing.assert_allclose(images.mean(axis=(2, 3, 4)).ravel(), means, atol=2e-6)
