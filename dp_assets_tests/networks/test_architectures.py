"""The networks: their layers, shapes, regularisation, precision and the errors of impossible requests."""

import keras
import numpy as np
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets_tests.networks.builders import EFFICIENTNET_REQUEST, small_cnn


@pytest.fixture(scope="module")
def b0() -> keras.Model:
    return build_network(EFFICIENTNET_REQUEST)


def test_efficientnet_has_no_input_scaling(b0: keras.Model) -> None:
    kinds = {type(layer) for layer in b0.layers}
    assert not kinds & {keras.layers.Rescaling, keras.layers.Normalization}
    assert b0.layers[1].name == "stem_conv_pad"


def test_efficientnet_penalises_kernels_but_not_depthwise_ones(b0: keras.Model) -> None:
    kernels = [
        layer.get_weights()[0]
        for layer in b0.layers
        if layer.name == "ClassProb" or layer.name.endswith(("_conv", "_squeeze", "_reduce", "_expand"))
        if layer.weights
    ]
    assert len(kernels) == len(b0.losses) == 66
    expected = 1e-5 * sum(float((kernel.astype(np.float64) ** 2).sum()) for kernel in kernels)
    assert float(sum(b0.losses)) == pytest.approx(expected, rel=1e-5)


def test_efficientnet_initial_weights_have_the_published_spread(b0: keras.Model) -> None:
    kernel = b0.get_layer("top_conv").get_weights()[0]  # fan-out scaling: variance 2 / filters
    assert kernel.std() == pytest.approx(np.sqrt(2 / 1280), rel=0.02)
    twins = [b0.get_layer(f"block{name}_se_reduce").get_weights()[0] for name in ("6b", "6c")]
    assert not np.array_equal(*twins)


@pytest.mark.parametrize(
    ("name", "size", "weights"), [("resnet", 50, 23_564_800), ("densenet", 121, 7_037_504)]
)
def test_resnet_and_densenet_have_their_published_number_of_weights_and_l2(
    name: str, size: int, weights: int
) -> None:
    model = build_network(NetworkRequest(name, (32, 32, 3), 4, conv_blocks=size))
    features = model.get_layer("pool5").output.shape[-1]
    assert model.count_params() == weights + (features + 1) * 4
    kernels = [
        layer.kernel.numpy().astype(np.float64)
        for layer in model.layers
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))
    ]
    assert len(model.losses) == len(kernels)
    assert float(sum(model.losses)) == pytest.approx(1e-5 * sum((k**2).sum() for k in kernels), rel=1e-4)


def test_efficientnet_of_another_size_has_the_published_number_of_weights() -> None:
    # EfficientNet-B1 without top has 6,575,239 weights, 7 of them in the normalisation that is left out.
    model = build_network(NetworkRequest("efficientnet", (64, 64, 3), None, conv_blocks=1))
    assert model.count_params() == 6_575_239 - 7
    assert model.output_shape == (None, 1280)
    assert model.output_names == ["pool5"]


def test_mixed_precision_computes_in_half_and_answers_in_float32() -> None:
    model = build_network(NetworkRequest("efficientnet", (32, 32, 1), 2, dtype_policy="mixed_bfloat16"))
    assert model.get_layer("top_conv").compute_dtype == "bfloat16"
    assert {model.get_layer(name).compute_dtype for name in ("pool5", "ClassProb")} == {"float32"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.output.dtype == "float32"


def test_every_dropout_layer_draws_from_a_seed_of_its_own(b0: keras.Model) -> None:
    seeds = [layer.seed for layer in b0.layers if isinstance(layer, keras.layers.Dropout)]
    assert None not in seeds
    assert len(set(seeds)) == len(seeds) == 9  # B0 skips blocks at random in nine places


@pytest.mark.parametrize(
    ("request_", "what", "key"),
    [
        (NetworkRequest("efficientnet", (96, 96, 5), 3, conv_blocks=8), "conv_blocks is 8", "conv_blocks"),
        (NetworkRequest("efficientnet", (24, 24, 5), 3), "24 x 24", "box_size"),
        (NetworkRequest("resnet", (64, 64, 5), 3, conv_blocks=18), "takes 50, 101, 152", "conv_blocks"),
        (NetworkRequest("densenet", (64, 64, 5), 3, conv_blocks=0), "takes 121, 169, 201", "conv_blocks"),
        (NetworkRequest("resnet", (31, 64, 5), 3, conv_blocks=50), "31 x 64", "box_size"),
        (NetworkRequest("InceptionResNetv2", (74, 74, 5), 3), "takes 75 x 75", "box_size"),
        (NetworkRequest("autoencoder", (17, 17, 5), None, conv_blocks=5), "autoencoder takes 1-4", "blocks"),
        (NetworkRequest("cnn", (16, 16, 5), 3, conv_blocks=5), "cnn takes 1-4", "conv_blocks"),
        (NetworkRequest("cnn", (16, 16, 5), 3, conv_blocks=0), "conv_blocks is 0", "conv_blocks"),
        (
            NetworkRequest("cnn", (16, 16, 5), 3, conv_blocks=1, initialization="imagenet"),
            "ImageNet weights for cnn",
            "initialization",
        ),
        (
            NetworkRequest("autoencoder", (16, 16, 5), 3, conv_blocks=1, initialization="imagenet"),
            "ImageNet weights for autoencoder",
            "initialization",
        ),
    ],
)
def test_an_impossible_request_names_the_key(request_: NetworkRequest, what: str, key: str) -> None:
    with pytest.raises(ModelError, match=what) as caught:
        build_network(request_)
    assert key in caught.value.problems[0].where


def test_cnn_computes_what_its_layers_say() -> None:
    """Against plain loops: 3x3 convolution, zero edges, batch norm, ReLU, 2x2 maximum, two dense layers."""
    model = small_cnn(conv_blocks=1, input_shape=(4, 4, 2))
    rng = np.random.default_rng(3)
    model.set_weights(
        [rng.uniform(0.1, 1, w.shape).astype(np.float32) - 0.3 * (w.name == "kernel") for w in model.weights]
    )
    crop = rng.random((4, 4, 2), np.float32)
    kernel, bias, gamma, beta, mean, variance, w1, b1, w2, b2 = model.get_weights()
    padded = np.pad(crop, ((1, 1), (1, 1), (0, 0)))
    maps = np.zeros((4, 4, 8))
    for row in range(4):
        for col in range(4):
            maps[row, col] = np.einsum("ijk,ijkf->f", padded[row : row + 3, col : col + 3], kernel) + bias
    maps = np.maximum((maps - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0)
    pooled = maps.reshape(2, 2, 2, 2, 8).max(axis=(1, 3)).ravel()
    logits = np.maximum(pooled @ w1 + b1, 0) @ w2 + b2
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(model.predict(crop[None], verbose=0)[0], expected, rtol=1e-4)


def test_cnn_head_is_named_after_the_target_and_blocks_double_their_filters() -> None:
    model = small_cnn(target="Metadata/Treatment", conv_blocks=3)
    assert model.output_names == ["Metadata_Treatment"]
    filters = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [8, 16, 32]
    assert small_cnn(target="features").output_names == ["features_head"]
    assert small_cnn(classes=None).output_names == ["features"]
    assert not model.losses
