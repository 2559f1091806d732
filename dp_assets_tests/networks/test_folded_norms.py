"""Folding batch normalisations into convolutions: same outputs, fewer layers, and what is left alone."""

import keras
import numpy as np
import pytest
from keras import layers

from dp_assets.networks.folded_norms import fold_batch_norms
from dp_assets.networks.registry import NetworkRequest, build_network

SIDE = 32


def with_random_weights(model: keras.Model) -> keras.Model:
    """The model with statistics and weights none of which is neutral."""
    generator = np.random.default_rng(3)
    model.set_weights(
        [generator.uniform(0.05, 0.5, weight.shape).astype(np.float32) for weight in model.weights]
    )
    return model


def small(*middle: layers.Layer) -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    maps = inputs
    for layer in middle:
        maps = layer(maps)
    return with_random_weights(keras.Model(inputs, maps))


def norms_of(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


def outputs_of(model: keras.Model) -> np.ndarray:
    crops = np.random.default_rng(1).random((3, *model.inputs[0].shape[1:]), np.float32)
    return np.asarray(model.predict_on_batch(crops))


@pytest.mark.parametrize(
    ("kind", "blocks", "left"),
    [("efficientnet", 0, 0), ("resnet", 50, None), ("densenet", 121, None), ("cnn", 2, 0)],
)
def test_a_folded_network_says_the_same(kind: str, blocks: int, left: int | None) -> None:
    network = build_network(NetworkRequest(kind, (SIDE, SIDE, 5), 3, conv_blocks=blocks))
    generator = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights(
                [generator.uniform(0.5, 1.5, weight.shape).astype(np.float32) for weight in layer.weights]
            )
    folded = fold_batch_norms(network)
    before, after = len(norms_of(network)), len(norms_of(folded))
    assert after < before
    if left is not None:
        assert after == left
    expected = outputs_of(network)
    np.testing.assert_allclose(outputs_of(folded), expected, rtol=1e-4, atol=1e-6)
    assert len(norms_of(network)) == before
    np.testing.assert_array_equal(outputs_of(network), expected)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("kind", ["full", "depthwise", "grouped"])
def test_every_kind_of_convolution_is_folded(kind: str, use_bias: bool, scale: bool) -> None:
    convolution = {
        "full": lambda: layers.Conv2D(6, 3, strides=2, use_bias=use_bias),
        "depthwise": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=use_bias),
        "grouped": lambda: layers.Conv2D(6, 3, groups=3, padding="same", use_bias=use_bias),
    }[kind]()
    model = small(convolution, layers.BatchNormalization(scale=scale, center=scale), layers.ReLU())
    folded = fold_batch_norms(model)
    assert not norms_of(folded)
    np.testing.assert_allclose(outputs_of(folded), outputs_of(model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "middle",
    [
        (layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization()),
        (layers.Conv2D(4, 3), layers.ReLU(), layers.BatchNormalization()),
        (layers.BatchNormalization(), layers.Conv2D(4, 3)),
        (layers.Conv2D(4, 3), layers.BatchNormalization(axis=1)),
        (layers.Conv2D(4, 3, dtype="mixed_bfloat16"), layers.BatchNormalization()),
    ],
    ids=["active", "activation between", "before", "over rows", "half precision"],
)
def test_what_cannot_be_folded_is_left_alone(middle: tuple[layers.Layer, ...]) -> None:
    model = small(*middle)
    assert fold_batch_norms(model) is model


def test_a_convolution_with_other_uses_is_left_alone() -> None:
    inputs = keras.Input((8, 8, 3))
    maps = layers.Conv2D(4, 3)(inputs)
    normed = layers.BatchNormalization()(maps)
    summed = with_random_weights(keras.Model(inputs, layers.Add()([maps, normed])))
    operation = with_random_weights(keras.Model(inputs, keras.ops.tanh(maps) + normed))
    shown = with_random_weights(keras.Model(inputs, [maps, normed]))
    for model in (summed, operation, shown):
        assert fold_batch_norms(model) is model


def test_a_convolution_called_twice_is_left_alone() -> None:
    inputs = keras.Input((8, 8, 3))
    convolution = layers.Conv2D(3, 3, padding="same")
    model = keras.Model(inputs, layers.BatchNormalization()(convolution(convolution(inputs))))
    assert fold_batch_norms(with_random_weights(model)) is model


def test_a_network_can_be_folded_again_and_in_parts() -> None:
    network = with_random_weights(build_network(NetworkRequest("cnn", (SIDE, SIDE, 2), 3, conv_blocks=2)))
    for layer in ("block1_activation", "block2_activation"):
        part = keras.Model(network.inputs, network.get_layer(layer).output)
        for _ in range(2):
            folded = fold_batch_norms(part)
            assert not norms_of(folded)
            np.testing.assert_allclose(outputs_of(folded), outputs_of(part), rtol=1e-4)
