"""What the plain convolutional networks are made of: 3x3 convolution, batch norm, ReLU."""

import keras
from keras import layers

from dp_assets.config.errors import ModelError
from dp_assets.networks.architecture import NetworkRequest, layer_seed

FIRST_FILTERS = 8


def convolution_block(
    request: NetworkRequest, maps: keras.KerasTensor, block: int, *, prefix: str, activation: str
) -> keras.KerasTensor:
    """Apply a 3x3 convolution of 8 * 2^(block - 1) filters, batch norm and ReLU.

    Parameters
    ----------
    maps : (cells, rows, cols, filters).
    block : number of the block, from 1 on; blocks further inside have more filters.
    prefix : begin of the layers' names (`block1` for `block1_conv` and `block1_bn`).
    activation : name of the ReLU layer.

    Returns
    -------
    (cells, rows, cols, filters), as many rows and columns as went in.
    """
    policy = request.dtype_policy
    conv = f"{prefix}_conv"
    maps = layers.Conv2D(
        FIRST_FILTERS * 2 ** (block - 1),
        3,
        padding="same",
        kernel_initializer=seeded_glorot(request, conv),
        dtype=policy,
        name=conv,
    )(maps)
    maps = layers.BatchNormalization(dtype=policy, name=f"{prefix}_bn")(maps)
    return layers.Activation("relu", dtype=policy, name=activation)(maps)


def seeded_glorot(request: NetworkRequest, layer: str) -> keras.initializers.Initializer:
    """Uniform initial weights (Glorot & Bengio 2010) from the request's seed and the layer's name."""
    return keras.initializers.GlorotUniform(seed=layer_seed(request.seed, layer))


def refuse_impossible_blocks(request: NetworkRequest) -> None:
    """Check a network that halves the crop `conv_blocks` times.

    Raises
    ------
    ModelError : `conv_blocks` halves the crop to nothing, or ImageNet weights are asked for (there are none).
    """
    name = request.name
    rows, cols, _ = request.input_shape
    deepest = min(rows, cols).bit_length() - 1
    if not 1 <= request.conv_blocks <= deepest:
        raise ModelError(
            f"conv_blocks is {request.conv_blocks}; on crops of {rows} x {cols} pixels "
            f"{name} takes 1-{deepest}",
            where="train.model.params.conv_blocks",
            remedy=f"use a number between 1 and {deepest}, or a larger box_size",
        )
    if request.initialization == "imagenet":
        raise ModelError(
            f"there are no ImageNet weights for {name}",
            where="train.model.initialization",
            remedy='use "initialization": "random", or the network efficientnet',
        )
