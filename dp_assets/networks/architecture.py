"""What a network is asked to be (`NetworkRequest`), and what must be known of each kind (`Architecture`)."""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import keras

HEAD_NAME = "ClassProb"


@dataclass(frozen=True)
class NetworkRequest:
    """One network, described completely: equal requests build networks with equal initial weights.

    Attributes
    ----------
    name : the kind of network, one of `registry.available_networks()`; the case does not matter.
    input_shape : (rows, cols, channels) of a crop, in pixels.
    classes : number of classes of the softmax head; None leaves the head out and the features are the output.
    conv_blocks : the variant (efficientnet: 0-7 for B0-B7) or the depth (cnn: number of convolution blocks).
    feature_dim : width of the dense layer `features` (cnn only).
    target : label column the classes come from; names the head of networks without a `ClassProb` head.
    dtype_policy : Keras dtype policy of the layers; features and class probabilities are float32 always.
    initialization : "random", or "imagenet": the weights that keras.applications offers (efficientnet only).
    seed : seeds the initial weights and the dropout draws.
    """

    name: str
    input_shape: tuple[int, int, int]
    classes: int | None
    conv_blocks: int = 0
    feature_dim: int = 256
    target: str = HEAD_NAME
    dtype_policy: str = "float32"
    initialization: Literal["random", "imagenet"] = "random"
    seed: int = 0


@dataclass(frozen=True)
class Architecture:
    """A kind of network and how it is trained. Plugins register one: entry point group `dp_assets.networks`.

    Attributes
    ----------
    name : name in configuration files, lower case.
    build : makes a Keras model from a request. Input: float32 crops (cells, rows, cols, channels); output:
        float32 class probabilities (cells, classes), or features when `request.classes` is None.
    optimizer : makes the optimizer from a learning rate.
    label_smoothing : whether `label_smoothing` of the configuration applies to the loss.
    always_augments : whether training augments the crops even when the configuration does not ask for it.
    """

    name: str
    build: Callable[[NetworkRequest], keras.Model]
    optimizer: Callable[[float], keras.Optimizer]
    label_smoothing: bool = True
    always_augments: bool = False


def layer_seed(seed: int, layer: str) -> int:
    """A seed of its own for every layer, so that layers of equal shape do not start with equal weights."""
    return zlib.crc32(f"{seed}/{layer}".encode()) & 0x7FFFFFFF


def legal_layer_name(text: str, taken: frozenset[str] = frozenset()) -> str:
    """A label column's name as a layer name: letters, digits and `_`, a letter first, none of `taken`."""
    name = re.sub(r"[^0-9A-Za-z_]+", "_", text).strip("_") or HEAD_NAME
    if not name[0].isalpha():
        name = f"target_{name}"
    while name in taken:
        name = f"{name}_head"
    return name
