"""EfficientNet B0-B7 for crops of any number of channels: keras.applications without its input scaling."""

import warnings
from typing import Any

import keras
import numpy as np
from keras import layers

from dp_assets.config.errors import ModelError
from dp_assets.networks.architecture import HEAD_NAME, Architecture, NetworkRequest, layer_seed

FEATURES_NAME = "pool5"
WEIGHT_DECAY = 1e-5
SMALLEST_SIDE = 32
LARGEST_VARIANT = 7


def build_efficientnet(request: NetworkRequest) -> keras.Model:
    """Build EfficientNet-B`conv_blocks` with global average pooling `pool5` and a softmax head `ClassProb`.

    The input is a normalised crop: the rescaling and normalisation layers that keras.applications puts in
    front are left out. Every Conv2D and Dense kernel has an L2 penalty of 1e-5, depthwise kernels have none.
    Layer names and weight shapes agree with DeepProfiler's checkpoints (Tan & Le 2019, arXiv:1905.11946;
    handbook, `conv_blocks`).

    Raises
    ------
    ModelError : `conv_blocks` is not 0-7, the crop is smaller than 32 pixels, or the ImageNet weights cannot
        be read.
    """
    _check(request)
    bare = _application(request.conv_blocks, request.input_shape, weights=None)
    trunk = _without_input_scaling(bare, request)
    features = layers.GlobalAveragePooling2D(name=FEATURES_NAME, dtype="float32")(trunk.output)
    outputs = features
    if request.classes is not None:
        outputs = layers.Dense(
            request.classes,
            activation="softmax",
            kernel_initializer=keras.initializers.GlorotUniform(layer_seed(request.seed, HEAD_NAME)),
            kernel_regularizer=keras.regularizers.L2(WEIGHT_DECAY),
            dtype="float32",
            name=HEAD_NAME,
        )(features)
    network = keras.Model(trunk.input, outputs, name=f"efficientnet_b{request.conv_blocks}")
    if request.initialization == "imagenet":
        copy_imagenet_weights(_imagenet_donor(request.conv_blocks), network)
    return network


def copy_imagenet_weights(donor: keras.Model, network: keras.Model) -> None:
    """Copy the weights of an RGB network into one of another number of channels, layer by layer name.

    Stem kernels are (3, 3, channels, filters): channel i takes the kernel of RGB channel i mod 3. The head
    keeps its weights.
    """
    for layer in network.layers:
        if not layer.weights or layer.name == HEAD_NAME:
            continue
        weights = donor.get_layer(layer.name).get_weights()
        if layer.name == "stem_conv":
            kernel = weights[0]
            weights[0] = kernel[:, :, np.arange(layer.kernel.shape[2]) % kernel.shape[2], :]
        layer.set_weights(weights)


def _check(request: NetworkRequest) -> None:
    if not 0 <= request.conv_blocks <= LARGEST_VARIANT:
        raise ModelError(
            f"conv_blocks is {request.conv_blocks}; efficientnet takes 0 to {LARGEST_VARIANT} (B0-B7)",
            where="train.model.params.conv_blocks",
            remedy="use 0 for EfficientNet-B0, the smallest, up to 7 for B7",
        )
    rows, cols, _ = request.input_shape
    if min(rows, cols) < SMALLEST_SIDE:
        raise ModelError(
            f"crops are {rows} x {cols} pixels; efficientnet takes {SMALLEST_SIDE} x {SMALLEST_SIDE} or more",
            where="dataset.locations.box_size",
            remedy=f"use a box_size of at least {SMALLEST_SIDE}, or the network cnn",
        )


def _application(variant: int, shape: tuple[int, int, int], weights: str | None) -> keras.Model:
    maker = getattr(keras.applications, f"EfficientNetB{variant}")
    with warnings.catch_warnings():
        # Keras warns about numbers of channels other than 1 and 3, which is what cell painting has.
        warnings.filterwarnings("ignore", message="This model usually expects 1 or 3 input channels")
        return maker(include_top=False, weights=weights, input_shape=shape)


def _imagenet_donor(variant: int) -> keras.Model:
    """The RGB network with ImageNet weights; Keras downloads them into its cache the first time."""
    try:
        return _application(variant, (SMALLEST_SIDE, SMALLEST_SIDE, 3), weights="imagenet")
    except Exception as error:  # keras re-raises download failures as plain Exception
        raise ModelError(
            f"the ImageNet weights of EfficientNet-B{variant} cannot be read: {error}",
            where="train.model.initialization",
            remedy='connect once so that Keras can download them, or use "initialization": "random"',
        ) from error


def _without_input_scaling(model: keras.Model, request: NetworkRequest) -> keras.Model:
    """The same graph with fresh layers: no input scaling, L2 on kernels, the request's precision and seed."""

    def clone(layer: layers.Layer) -> layers.Layer:
        config = {**layer.get_config(), "dtype": request.dtype_policy}
        seed = layer_seed(request.seed, layer.name)
        # Exactly Conv2D: depthwise convolutions are not regularised.
        if type(layer) is layers.Conv2D:
            config["kernel_regularizer"] = keras.regularizers.L2(WEIGHT_DECAY)
        for key in ("kernel_initializer", "depthwise_initializer"):
            if key in config:
                config[key] = _seeded(config[key], seed)
        if isinstance(layer, layers.Dropout):
            config["seed"] = seed
        return type(layer).from_config(config)

    def call(layer: layers.Layer, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, layers.Rescaling | layers.Normalization):
            return args[0]
        return layer(*args, **kwargs)

    inputs = keras.Input(request.input_shape, dtype="float32", name="crops")
    return keras.models.clone_model(model, input_tensors=inputs, clone_function=clone, call_function=call)


def _seeded(serialized: dict[str, Any], seed: int) -> keras.initializers.Initializer:
    initializer = keras.initializers.deserialize(serialized)
    return type(initializer).from_config({**initializer.get_config(), "seed": seed})


def _sgd(learning_rate: float) -> keras.Optimizer:
    return keras.optimizers.SGD(learning_rate, momentum=0.9, nesterov=True)


EFFICIENTNET = Architecture("efficientnet", build_efficientnet, _sgd)
