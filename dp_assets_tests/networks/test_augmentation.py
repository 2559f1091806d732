"""The augmentation layers: applying a draw, against numpy and scipy; ranges, seeds, independence of draws."""

from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from dp_assets.networks.augmentation import CropAugmentation, augmentation_pipeline
from dp_assets.networks.augmentation_layer import AugmentationLayer
from dp_assets.networks.random_brightness_contrast import RandomBrightnessContrast
from dp_assets.networks.random_flip_rotation import RandomFlipRotation
from dp_assets.networks.random_square_crop import RandomSquareCrop

LAYERS = [RandomSquareCrop, RandomFlipRotation, RandomBrightnessContrast, CropAugmentation]
MANY = (4000, 8, 8, 3)


def crops_of(seed: int, cells: int = 6, side: int = 9, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).random((cells, side, side, channels), np.float32)


def numbers(tensor: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.integers(2, 12), st.floats(0.5, 1), st.floats(0, 1), st.floats(0, 1))
def test_square_crop_is_bilinear_interpolation(
    seed: int, rows: int, side: float, top: float, left: float
) -> None:
    crop = np.random.default_rng(seed).random((1, rows, 7, 2), np.float32)
    top, left = top * (1 - side), left * (1 - side)
    draw = {
        name: keras.ops.convert_to_tensor([value], "float32")
        for name, value in (("side", side), ("top", top), ("left", left))
    }
    result = numbers(RandomSquareCrop().transform(crop, draw))[0]
    row = (top + side * np.linspace(0, 1, rows)) * (rows - 1)
    col = (left + side * np.linspace(0, 1, 7)) * 6
    grid = np.meshgrid(row, col, indexing="ij")
    expected = np.stack([map_coordinates(crop[0, :, :, c], grid, order=1) for c in range(2)], axis=-1)
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_flip_and_rotation_are_those_of_numpy(flip: bool, turns: int) -> None:
    crops = crops_of(1)
    # Only every other crop is changed: a draw belongs to one crop.
    draw = {"flip": np.array([flip, False] * 3), "quarter_turns": np.array([turns, 0] * 3, np.int32)}
    result = numbers(RandomFlipRotation().transform(crops, draw))
    mirrored = crops[:, :, ::-1] if flip else crops
    np.testing.assert_array_equal(result[0::2], np.rot90(mirrored, turns, axes=(1, 2))[0::2])
    np.testing.assert_array_equal(result[1::2], crops[1::2])


def test_brightness_and_contrast_are_per_crop_and_channel() -> None:
    crops = crops_of(2)
    rng = np.random.default_rng(0)
    shift, factor = rng.uniform(-0.1, 0.1, (6, 2)), rng.uniform(0.8, 1.2, (6, 2))
    draw = {"shift": shift.astype(np.float32), "factor": factor.astype(np.float32)}
    result = numbers(RandomBrightnessContrast().transform(crops, draw))
    for cell in range(6):
        for channel in range(2):
            plane = crops[cell, :, :, channel]
            expected = (plane - plane.mean()) * factor[cell, channel] + plane.mean() + shift[cell, channel]
            np.testing.assert_allclose(result[cell, :, :, channel], expected, atol=1e-5)
    assert result.max() > 1  # not clipped


def test_draws_have_the_ranges_and_frequencies_of_the_original() -> None:
    crop = {name: numbers(value) for name, value in RandomSquareCrop(seed=5).draw(MANY).items()}
    changed = crop["side"] < 1
    assert changed.mean() == pytest.approx(0.5, abs=0.03)
    assert 0.8 <= crop["side"].min() < 0.81
    assert crop["side"][changed].mean() == pytest.approx(0.9, abs=0.01)
    for corner in ("top", "left"):
        assert crop[corner].min() >= 0
        assert (crop[corner] + crop["side"]).max() <= 1 + 1e-6
    assert abs(np.corrcoef(crop["top"][changed], crop["left"][changed])[0, 1]) < 0.6  # both follow the side

    turn = {name: numbers(value) for name, value in RandomFlipRotation(seed=5).draw(MANY).items()}
    assert turn["flip"].mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose(np.bincount(turn["quarter_turns"]) / MANY[0], 0.25, atol=0.03)

    grey = {name: numbers(value) for name, value in RandomBrightnessContrast(seed=5).draw(MANY).items()}
    assert grey["shift"].shape == grey["factor"].shape == (4000, 3)
    for values, low, high in ((grey["shift"], -0.1, 0.1), (grey["factor"], 0.8, 1.2)):
        assert low <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high
        assert abs(np.corrcoef(values[:, 0], values[:, 1])[0, 1]) < 0.06


@pytest.mark.parametrize("kind", LAYERS)
def test_nothing_happens_outside_training(kind: type[AugmentationLayer]) -> None:
    crops = crops_of(3)
    layer = kind(seed=1)
    np.testing.assert_array_equal(numbers(layer(crops)), crops)
    assert not np.array_equal(numbers(layer(crops, training=True)), crops)


@pytest.mark.parametrize("kind", LAYERS)
def test_draws_depend_on_the_seed_and_the_epoch_only(kind: type[AugmentationLayer]) -> None:
    crops = crops_of(4, cells=16)

    def epoch(layer: AugmentationLayer, number: int, batches: int) -> list[np.ndarray]:
        layer.reseed(number)
        return [numbers(layer(crops, training=True)) for _ in range(batches)]

    layer = kind(seed=7)
    epoch(layer, 0, 3)
    undisturbed = epoch(layer, 1, 2)
    resumed = epoch(kind(seed=7), 1, 2)
    np.testing.assert_array_equal(undisturbed, resumed)
    assert not np.array_equal(undisturbed[0], undisturbed[1])
    assert not np.array_equal(undisturbed[0], epoch(layer, 2, 1)[0])
    assert not np.array_equal(undisturbed[0], epoch(kind(seed=8), 1, 1)[0])


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_survive_saving(kind: type[AugmentationLayer], tmp_path: Path) -> None:
    inputs = keras.Input((9, 9, 2))
    model = keras.Model(inputs, kind(seed=11)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = loaded.layers[-1]
    assert type(again) is kind
    assert again.get_config() == model.layers[-1].get_config()
    for layer in (model.layers[-1], again):
        layer.reseed(3)
    crops = crops_of(5)
    np.testing.assert_array_equal(
        numbers(again(crops, training=True)), numbers(model.layers[-1](crops, training=True))
    )


def test_options_survive_the_configuration() -> None:
    for layer in (
        RandomSquareCrop(0.25, 0.5, seed=1),
        RandomFlipRotation(0.125, seed=2),
        RandomBrightnessContrast(0.3, 0.4, seed=3),
    ):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    assert RandomSquareCrop(0.25, 0.5).get_config()["smallest"] == 0.5


def test_the_pipeline_trains_inside_a_model_and_masks_follow_their_images() -> None:
    augmentation = augmentation_pipeline(3)
    inputs = keras.Input((8, 8, 2))
    model = keras.Model(inputs, augmentation(inputs))
    model.compile(loss="mse")
    crops = crops_of(6, side=8)
    assert model.train_on_batch(crops, crops) > 0
    assert model.test_on_batch(crops, crops) == 0

    layer = RandomFlipRotation(seed=9)
    draw = layer.draw(crops.shape)
    mask = crops[..., :1] > 0.5
    images = numbers(layer.transform(crops, draw))
    np.testing.assert_array_equal(numbers(layer.transform(mask, draw)), images[..., :1] > 0.5)


def test_crops_that_are_not_square_cannot_be_turned() -> None:
    with pytest.raises(ValueError, match="square"):
        RandomFlipRotation()(np.zeros((1, 8, 9, 1), np.float32), training=True)
    with pytest.raises(ValueError, match="smallest"):
        RandomSquareCrop(smallest=0)
