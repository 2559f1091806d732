"""The plain convolutional network `cnn`: some convolution blocks, a dense layer of features, a dense head."""

import keras
from keras import layers

from dp_assets.networks.architecture import Architecture, NetworkRequest
from dp_assets.networks.convolution_blocks import convolution_block, refuse_impossible_blocks, seeded_glorot
from dp_assets.networks.heads import column_heads
from dp_assets.networks.optimizers import adam

FEATURES_NAME = "features"


def build_cnn(request: NetworkRequest) -> keras.Model:
    """Build blocks of 3x3 convolution (8, 16, 32, ... filters), batch norm, ReLU and 2x2 max-pooling.

    `conv_blocks` is their number. The feature maps are flattened into a dense ReLU layer `features` of
    `feature_dim` units; softmax heads are named after the target columns. No weight decay, no label
    smoothing (as DeepProfiler's `cnn`).

    Raises
    ------
    ModelError : `conv_blocks` halves the crop to nothing, or ImageNet weights are asked for (there are none).
    """
    refuse_impossible_blocks(request)
    policy = request.dtype_policy
    inputs = keras.Input(request.input_shape, dtype="float32", name="crops")
    maps = inputs
    for block in range(1, request.conv_blocks + 1):
        prefix = f"block{block}"
        maps = convolution_block(request, maps, block, prefix=prefix, activation=f"{prefix}_activation")
        maps = layers.MaxPooling2D(2, dtype=policy, name=f"{prefix}_pool")(maps)
    flat = layers.Flatten(dtype=policy, name="flatten")(maps)
    # Features are stored and compared, so they are float32 whatever the precision of the convolutions.
    features = layers.Dense(
        request.feature_dim,
        activation="relu",
        kernel_initializer=seeded_glorot(request, FEATURES_NAME),
        dtype="float32",
        name=FEATURES_NAME,
    )(flat)
    outputs = column_heads(request, keras.Model(inputs, features))
    return keras.Model(inputs, outputs, name="cnn")


CNN = Architecture("cnn", build_cnn, adam, label_smoothing=False, always_augments=True)
