"""Networks of keras.applications as networks for crops: any number of channels, no input scaling, seeded."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from dp_assets.config.errors import ModelError
from dp_assets.networks.architecture import NetworkRequest, layer_seed


@dataclass(frozen=True)
class Application:
    """One network of keras.applications.

    Attributes
    ----------
    maker : its name there ("ResNet50V2").
    smallest_side : the smallest crop it takes, in pixels.
    stem : name of its first convolution, the only layer that depends on the number of channels.
    weights_file : name of Keras' file with the ImageNet weights, without the head.
    """

    maker: str
    smallest_side: int
    stem: str
    weights_file: str

    def make(self, shape: tuple[int, int, int], weights: str | None = None) -> keras.Model:
        """The network as Keras makes it, without a head, for input (rows, cols, channels)."""
        maker = getattr(keras.applications, self.maker)
        with warnings.catch_warnings():
            # Keras warns about numbers of channels other than 1 and 3, which is what cell painting has.
            warnings.filterwarnings("ignore", message="This model usually expects 1 or 3 input channels")
            return maker(include_top=False, weights=weights, input_shape=shape)


def chosen_application(request: NetworkRequest, sizes: Mapping[int, Application]) -> Application:
    """The application of the request's `conv_blocks`; ModelError, which lists the sizes, for another one."""
    if request.conv_blocks in sizes:
        return sizes[request.conv_blocks]
    raise ModelError(
        f"conv_blocks is {request.conv_blocks}; {request.name} takes {', '.join(map(str, sizes))}",
        where="train.model.params.conv_blocks",
        remedy=f"use one of these; the smallest network is {min(sizes)}",
    )


def crop_trunk(request: NetworkRequest, application: Application, *, weight_decay: float) -> keras.Model:
    """Build the network up to its last feature maps, with fresh layers.

    The input is a normalised crop: rescaling and normalisation layers that Keras puts in front are left out.
    Layers have Keras' names, as a process that builds nothing else gives them. Weights are random.

    Parameters
    ----------
    weight_decay : L2 penalty on Conv2D and Dense kernels (depthwise kernels have none); 0 for no penalty.

    Returns
    -------
    A model from float32 crops (cells, rows, cols, channels) to feature maps (cells, rows, cols, filters), in
    the request's precision.

    Raises
    ------
    ModelError : the crop is smaller than the network takes.
    """
    _refuse_small_crops(request, application)
    bare = application.make(request.input_shape)
    names = settled_names(bare)

    def clone(layer: layers.Layer) -> layers.Layer:
        name = names[layer.name]
        config = {**layer.get_config(), "dtype": request.dtype_policy, "name": name}
        seed = layer_seed(request.seed, name)
        # Exactly these: depthwise convolutions are not regularised.
        if weight_decay and type(layer) in (layers.Conv2D, layers.Dense):
            config["kernel_regularizer"] = keras.regularizers.L2(weight_decay)
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
    return keras.models.clone_model(bare, input_tensors=inputs, clone_function=clone, call_function=call)


def settled_names(model: keras.Model) -> dict[str, str]:
    """Names of layers that do not depend on what else the process has built, by the names they have.

    Keras numbers layers without a name through the whole process ("conv2d_203"); here each network begins
    with "conv2d", "conv2d_1", ... in the order in which they were made. Layers with a given name keep it.
    """
    settled = {layer.name: layer.name for layer in model.layers}
    for kind in {_snake_case(type(layer).__name__) for layer in model.layers}:
        matches = [(re.fullmatch(rf"{kind}(?:_(\d+))?", name), name) for name in settled]
        numbered = sorted((int(match[1] or 0), name) for match, name in matches if match)
        for number, (_, name) in enumerate(numbered):
            settled[name] = f"{kind}_{number}" if number else kind
    return settled


def _snake_case(kind: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()


def _refuse_small_crops(request: NetworkRequest, application: Application) -> None:
    rows, cols, _ = request.input_shape
    side = application.smallest_side
    if min(rows, cols) < side:
        raise ModelError(
            f"crops are {rows} x {cols} pixels; {request.name} takes {side} x {side} or more",
            where="dataset.locations.box_size",
            remedy=f"use a box_size of at least {side}, or the network cnn",
        )


def _seeded(serialized: dict[str, Any], seed: int) -> keras.initializers.Initializer:
    initializer = keras.initializers.deserialize(serialized)
    return type(initializer).from_config({**initializer.get_config(), "seed": seed})
