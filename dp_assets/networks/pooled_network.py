"""A trunk of keras.applications, the average of its feature maps, and heads."""

from collections.abc import Callable

import keras
from keras import layers

from dp_assets.networks.application import Application, crop_trunk
from dp_assets.networks.architecture import NetworkRequest
from dp_assets.networks.heads import WEIGHT_DECAY, Outputs, class_prob_heads
from dp_assets.networks.imagenet import load_imagenet_weights

FEATURES_NAME = "pool5"
Heads = Callable[[NetworkRequest, keras.Model], Outputs]


def pooled_network(
    request: NetworkRequest,
    application: Application,
    *,
    name: str,
    features_name: str = FEATURES_NAME,
    heads: Heads = class_prob_heads,
    weight_decay: float = WEIGHT_DECAY,
) -> keras.Model:
    """Build an application with global average pooling and heads, and its ImageNet weights where wanted.

    Parameters
    ----------
    name : name of the model.
    features_name : name of the pooling layer.
    heads : makes the outputs from the network up to the pooled features.
    weight_decay : L2 penalty on Conv2D and Dense kernels of the trunk.

    Returns
    -------
    A model from float32 crops (cells, rows, cols, channels) to class probabilities (cells, classes), a list
    of them, or float32 features (cells, features).

    Raises
    ------
    ModelError : the crop is too small, or the ImageNet weights cannot be had.
    """
    trunk = crop_trunk(request, application, weight_decay=weight_decay)
    features = layers.GlobalAveragePooling2D(name=features_name, dtype="float32")(trunk.output)
    outputs = heads(request, keras.Model(trunk.input, features))
    network = keras.Model(trunk.input, outputs, name=name)
    if request.initialization == "imagenet":
        load_imagenet_weights(trunk, application, request.imagenet_weights)
    return network
