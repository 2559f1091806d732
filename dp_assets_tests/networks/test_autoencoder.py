"""The autoencoder: its arithmetic, every size of crop, and that it learns."""

import keras
import numpy as np
import pytest

from dp_assets.networks.registry import NetworkRequest, build_network


def autoencoder(rows: int, cols: int, blocks: int, **changes: object) -> keras.Model:
    return build_network(NetworkRequest("autoencoder", (rows, cols, 2), None, conv_blocks=blocks, **changes))


@pytest.mark.parametrize(
    ("rows", "cols", "blocks"), [(16, 16, 1), (17, 17, 2), (21, 30, 3), (33, 33, 5), (96, 96, 3)]
)
def test_crops_come_back_in_their_own_size(rows: int, cols: int, blocks: int) -> None:
    model = autoencoder(rows, cols, blocks, feature_dim=7)
    crops = np.random.default_rng(0).random((2, rows, cols, 2), np.float32)
    assert np.asarray(model(crops)).shape == crops.shape
    assert model.output_names == ["reconstruction"]
    assert model.get_layer("features").output.shape == (None, 7)
    assert model.get_layer(f"activation_{blocks}").output.shape[-1] == 8 * 2 ** (blocks - 1)
    assert not [layer for layer in model.layers if layer.name == f"activation_{blocks + 1}"]


def test_the_number_of_classes_and_heads_changes_nothing() -> None:
    plain, asked = (
        autoencoder(8, 8, 1),
        build_network(NetworkRequest("autoencoder", (8, 8, 2), 5, conv_blocks=1, more_heads=(("Dose", 3),))),
    )
    assert plain.output_names == asked.output_names
    for first, second in zip(plain.get_weights(), asked.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def convolved(maps: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    rows, cols, _ = maps.shape
    padded = np.pad(maps, ((1, 1), (1, 1), (0, 0)))
    result = np.zeros((rows, cols, len(bias)))
    for row in range(rows):
        for col in range(cols):
            result[row, col] = np.einsum("ijk,ijkf->f", padded[row : row + 3, col : col + 3], kernel) + bias
    return result


def normalised(maps: np.ndarray, gamma: np.ndarray, beta: np.ndarray, *moments: np.ndarray) -> np.ndarray:
    mean, variance = moments
    return np.maximum((maps - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0)


def test_it_computes_what_its_layers_say() -> None:
    """Against plain loops, on crops of odd size: down with a partial window at the edge, up and cut back."""
    model = autoencoder(5, 3, 1, feature_dim=4)
    rng = np.random.default_rng(3)
    model.set_weights(
        [rng.uniform(0.1, 1, weight.shape) - 0.4 * (weight.ndim > 1) for weight in model.weights]
    )
    crop = rng.random((5, 3, 2))
    weights = model.get_weights()
    maps = normalised(convolved(crop, *weights[:2]), *weights[2:6])
    pooled = np.array(
        [[maps[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].max(axis=(0, 1)) for c in range(2)] for r in range(3)]
    )
    code = pooled.ravel() @ weights[6] + weights[7]
    grown = (code @ weights[8] + weights[9]).reshape(3, 2, 8)
    maps = normalised(convolved(grown, *weights[10:12]), *weights[12:16])
    up = maps.repeat(2, axis=0).repeat(2, axis=1)[:5, :3]
    expected = convolved(up, *weights[16:18])
    probe = keras.Model(model.input, [model.get_layer("features").output, model.output])
    features, output = (np.asarray(tensor)[0] for tensor in probe(crop[None].astype(np.float32)))
    np.testing.assert_allclose(features, code, rtol=1e-4)
    np.testing.assert_allclose(output, expected, rtol=1e-3)


def test_it_learns_crops_better_than_their_mean() -> None:
    """Blobs at eight places: the mean crop explains nothing of where the blob is."""
    grid = np.mgrid[:12, :12]
    places = np.random.default_rng(1).uniform(3, 9, (8, 2))
    crops = np.stack([np.exp(-((grid - place[:, None, None]) ** 2).sum(0) / 4) for place in places])
    crops = np.repeat(crops[..., None], 2, axis=-1).astype(np.float32)
    model = autoencoder(12, 12, 2, feature_dim=6)
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    losses = [model.train_on_batch(crops, crops) for _ in range(120)]
    assert losses[-1] < 0.25 * crops.var(axis=0).mean() < losses[0]


def test_features_and_output_are_float32_in_mixed_precision() -> None:
    model = autoencoder(16, 16, 1, dtype_policy="mixed_bfloat16")
    assert model.get_layer("block1_conv").compute_dtype == "bfloat16"
    assert model.get_layer("features").output.dtype == model.output.dtype == "float32"
