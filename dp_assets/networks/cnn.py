"""The plain convolutional network `cnn`: some convolution blocks, a dense layer of features, a dense head."""

import keras
from keras import layers

from dp_assets.config.errors import ModelError
from dp_assets.networks.architecture import Architecture, NetworkRequest, layer_seed, legal_layer_name

FEATURES_NAME = "features"


def build_cnn(request: NetworkRequest) -> keras.Model:
    """Build blocks of 3x3 convolution (8, 16, 32, ... filters), batch norm, ReLU and 2x2 max-pooling.

    `conv_blocks` is their number. The feature maps are flattened into a dense ReLU layer `features` of
    `feature_dim` units; the softmax head is named after the target column. No weight decay, no label
    smoothing (as DeepProfiler's `cnn`).

    Raises
    ------
    ModelError : `conv_blocks` halves the crop to nothing, or ImageNet weights are asked for (there are none).
    """
    _check(request)
    policy = request.dtype_policy
    inputs = keras.Input(request.input_shape, dtype="float32", name="crops")
    maps = inputs
    for block in range(1, request.conv_blocks + 1):
        name = f"block{block}_conv"
        maps = layers.Conv2D(
            8 * 2 ** (block - 1),
            3,
            padding="same",
            kernel_initializer=_glorot(request, name),
            dtype=policy,
            name=name,
        )(maps)
        maps = layers.BatchNormalization(dtype=policy, name=f"block{block}_bn")(maps)
        maps = layers.Activation("relu", dtype=policy, name=f"block{block}_activation")(maps)
        maps = layers.MaxPooling2D(2, dtype=policy, name=f"block{block}_pool")(maps)
    flat = layers.Flatten(dtype=policy, name="flatten")(maps)
    # Features are stored and compared, so they are float32 whatever the precision of the convolutions.
    outputs = layers.Dense(
        request.feature_dim,
        activation="relu",
        kernel_initializer=_glorot(request, FEATURES_NAME),
        dtype="float32",
        name=FEATURES_NAME,
    )(flat)
    if request.classes is not None:
        taken = frozenset(operation.name for operation in keras.Model(inputs, outputs).layers)
        outputs = layers.Dense(
            request.classes,
            activation="softmax",
            kernel_initializer=_glorot(request, "head"),
            dtype="float32",
            name=legal_layer_name(request.target, taken),
        )(outputs)
    return keras.Model(inputs, outputs, name="cnn")


def _check(request: NetworkRequest) -> None:
    rows, cols, _ = request.input_shape
    deepest = min(rows, cols).bit_length() - 1
    if not 1 <= request.conv_blocks <= deepest:
        raise ModelError(
            f"conv_blocks is {request.conv_blocks}; on crops of {rows} x {cols} pixels cnn takes 1-{deepest}",
            where="train.model.params.conv_blocks",
            remedy=f"use a number between 1 and {deepest}, or a larger box_size",
        )
    if request.initialization == "imagenet":
        raise ModelError(
            "there are no ImageNet weights for cnn",
            where="train.model.initialization",
            remedy='use "initialization": "random", or the network efficientnet',
        )


def _glorot(request: NetworkRequest, layer: str) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=layer_seed(request.seed, layer))


def _adam(learning_rate: float) -> keras.Optimizer:
    return keras.optimizers.Adam(learning_rate)


CNN = Architecture("cnn", build_cnn, _adam, label_smoothing=False, always_augments=True)
