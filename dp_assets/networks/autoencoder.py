"""The convolutional `autoencoder`: crops to a short code and back."""

import keras
from keras import layers

from dp_assets.networks.architecture import Architecture, NetworkRequest
from dp_assets.networks.convolution_blocks import convolution_block, refuse_impossible_blocks, seeded_glorot
from dp_assets.networks.optimizers import adam

FEATURES_NAME = "features"
OUTPUT_NAME = "reconstruction"


def build_autoencoder(request: NetworkRequest) -> keras.Model:
    """Build an encoder, a dense code `features` of `feature_dim` numbers, and a decoder.

    The encoder has `conv_blocks` blocks of 3x3 convolution (8, 16, 32, ... filters), batch norm, ReLU
    (`activation_1`, `activation_2`, ...) and 2x2 max-pooling; the decoder mirrors it. Code and output are
    linear, so crops of any normalisation can be reconstructed. Odd sizes are pooled with a partial window at
    the edge and cut back on the way up, so every box size works. There are no classes: `request.classes` has
    no effect, and the features are those of the layer `features`. `latent_dim` and `epsilon_std` of the
    configuration belong to variational autoencoders.

    Returns
    -------
    A model from crops (cells, rows, cols, channels) to float32 crops of the same shape.

    Raises
    ------
    ModelError : `conv_blocks` halves the crop to nothing, or ImageNet weights are asked for (there are none).
    """
    refuse_impossible_blocks(request)
    inputs = keras.Input(request.input_shape, dtype="float32", name="crops")
    maps, sizes = _encoder(request, inputs)
    flat = layers.Flatten(dtype=request.dtype_policy, name="flatten")(maps)
    # Features are stored and compared, so they are float32 whatever the precision of the convolutions.
    code = layers.Dense(
        request.feature_dim,
        kernel_initializer=seeded_glorot(request, FEATURES_NAME),
        dtype="float32",
        name=FEATURES_NAME,
    )(flat)
    grown = layers.Dense(
        flat.shape[-1],
        kernel_initializer=seeded_glorot(request, "decoder_dense"),
        dtype=request.dtype_policy,
        name="decoder_dense",
    )(code)
    grid = layers.Reshape(maps.shape[1:], dtype=request.dtype_policy, name="decoder_reshape")(grown)
    output = layers.Conv2D(
        request.input_shape[2],
        3,
        padding="same",
        kernel_initializer=seeded_glorot(request, OUTPUT_NAME),
        dtype="float32",
        name=OUTPUT_NAME,
    )(_decoder(request, grid, sizes))
    return keras.Model(inputs, output, name="autoencoder")


def _encoder(
    request: NetworkRequest, maps: keras.KerasTensor
) -> tuple[keras.KerasTensor, list[tuple[int, int]]]:
    """The innermost maps, and the (rows, cols) that went into every block."""
    sizes = []
    for block in range(1, request.conv_blocks + 1):
        sizes.append((maps.shape[1], maps.shape[2]))
        prefix = f"block{block}"
        maps = convolution_block(request, maps, block, prefix=prefix, activation=f"activation_{block}")
        maps = layers.MaxPooling2D(2, padding="same", dtype=request.dtype_policy, name=f"{prefix}_pool")(maps)
    return maps, sizes


def _decoder(
    request: NetworkRequest, maps: keras.KerasTensor, sizes: list[tuple[int, int]]
) -> keras.KerasTensor:
    policy = request.dtype_policy
    for block in range(request.conv_blocks, 0, -1):
        prefix = f"decoder_block{block}"
        maps = convolution_block(request, maps, block, prefix=prefix, activation=f"{prefix}_activation")
        maps = _doubled(maps, policy, prefix)
        rows, cols = sizes[block - 1]
        surplus = ((0, maps.shape[1] - rows), (0, maps.shape[2] - cols))
        maps = layers.Cropping2D(surplus, dtype=policy, name=f"{prefix}_cut")(maps)
    return maps


def _doubled(maps: keras.KerasTensor, policy: str, prefix: str) -> keras.KerasTensor:
    """Every sample twice along rows and columns, which is what UpSampling2D(2) gives.

    UpSampling2D computes its shapes in int32 inside the graph, and TensorFlow then writes an error about
    oneDNN to the terminal on processors without AVX-512.
    """
    _, rows, cols, filters = maps.shape
    wide = layers.Concatenate(axis=3, dtype=policy, name=f"{prefix}_twice_cols")([maps, maps])
    wide = layers.Reshape((rows, 2 * cols, filters), dtype=policy, name=f"{prefix}_wide")(wide)
    tall = layers.Concatenate(axis=2, dtype=policy, name=f"{prefix}_twice_rows")([wide, wide])
    return layers.Reshape((2 * rows, 2 * cols, filters), dtype=policy, name=f"{prefix}_up")(tall)


AUTOENCODER = Architecture(
    "autoencoder",
    build_autoencoder,
    adam,
    label_smoothing=False,
    reconstructs=True,
    feature_aliases={"encoded": FEATURES_NAME},
)
