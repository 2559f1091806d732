"""What a network is asked to be (`NetworkRequest`), and what must be known of each kind (`Architecture`)."""

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
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
    classes : number of classes of the softmax head; None leaves all heads out and the features are the
        output. Networks that reconstruct their input have no classes and do not look at it.
    conv_blocks : the variant (efficientnet: 0-7 for B0-B7; resnet: 50, 101, 152; densenet: 121, 169, 201) or
        the depth (cnn, autoencoder: number of convolution blocks).
    feature_dim : width of the dense layer `features` (cnn and autoencoder).
    target : label column the classes come from; names the head of networks without a `ClassProb` head.
    more_heads : (label column, number of classes) of every further head. With them the network has a list of
        outputs, the first head first.
    dtype_policy : Keras dtype policy of the layers; features and class probabilities are float32 always.
    initialization : "random", or "imagenet": the weights that keras.applications offers.
    imagenet_weights : local file with these weights; None for Keras' own cache or download.
    seed : seeds the initial weights and the dropout draws.
    """

    name: str
    input_shape: tuple[int, int, int]
    classes: int | None
    conv_blocks: int = 0
    feature_dim: int = 256
    target: str = HEAD_NAME
    more_heads: tuple[tuple[str, int], ...] = ()
    dtype_policy: str = "float32"
    initialization: Literal["random", "imagenet"] = "random"
    imagenet_weights: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Architecture:
    """A kind of network and how it is trained.

    Plugins define one: in a file of the project's `plugins` folder, or as an entry point of the group
    `dp_assets.networks`.

    Attributes
    ----------
    name : name in configuration files, lower case.
    build : makes a Keras model from a request. Input: float32 crops (cells, rows, cols, channels); output:
        float32 class probabilities (cells, classes), one such tensor per head in a list when there are
        several, or features when `request.classes` is None.
    optimizer : makes the optimizer from a learning rate.
    label_smoothing : whether `label_smoothing` of the configuration applies to the loss.
    always_augments : whether training augments the crops even when the configuration does not ask for it.
    reconstructs : whether the output is the crop itself (cells, rows, cols, channels), trained with the mean
        squared error.
    feature_aliases : other names under which the network's layers are known to users, and the layers' names.
    """

    name: str
    build: Callable[[NetworkRequest], keras.Model]
    optimizer: Callable[[float], keras.Optimizer]
    label_smoothing: bool = True
    always_augments: bool = False
    reconstructs: bool = False
    feature_aliases: Mapping[str, str] = field(default_factory=dict, hash=False)


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
