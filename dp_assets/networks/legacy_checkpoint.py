"""Writing weights as the HDF5 checkpoints of DeepProfiler, so that others can load them by layer name.

The layout is that of Keras 2.12: a group for every layer with its weights in it, and their names, in order,
in attributes. Layers are listed in the order and under the names that they have in DeepProfiler's networks.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np

from dp_assets.config.errors import ModelError
from dp_assets.storage.atomic import atomic_file

KERAS_VERSION = "2.12.0"
INPUT = "input_1"
AUGMENTATION = "augmentation_layer_1"
WHOLE_MODEL = "top_level_model_weights"

_CNN_BLOCK = re.compile(r"block(\d+)_(conv|bn)")
_CNN_KINDS = {"conv": "conv2d", "bn": "batch_normalization"}


@dataclass(frozen=True)
class _Family:
    """How DeepProfiler's networks of one kind differ in names.

    Attributes
    ----------
    layer : the name of a layer there, from its name here.
    suffix : what Keras 2 adds to the names of weights: networks that were copied are made a second time.
    pads : whether padding is in layers of its own.
    """

    layer: Callable[[str], str] = str
    suffix: str = "_1"
    pads: bool = True


def _densenet_layer(name: str) -> str:
    return re.sub(r"^conv1_(conv|bn|relu)$", r"conv1/\1", name)


def _cnn_layer(name: str) -> str:
    block = _CNN_BLOCK.fullmatch(name)
    if block is None:
        return name
    number = int(block[1]) - 1
    return f"{_CNN_KINDS[block[2]]}_{number}" if number else _CNN_KINDS[block[2]]


_FAMILIES = {
    "efficientnet": _Family(pads=False),
    "resnet": _Family(),
    "densenet": _Family(layer=_densenet_layer),
    "inception_resnet_v2": _Family(suffix=""),
    "cnn": _Family(layer=_cnn_layer, suffix=""),
}


def write_legacy_checkpoint(network: keras.Model, path: Path, *, augmented: bool = False) -> None:
    """Write a network's weights as a checkpoint that DeepProfiler under TensorFlow 2.5 to 2.12 loads.

    Parameters
    ----------
    network : an `efficientnet`, `resnet`, `densenet`, `inception_resnet_v2` or `cnn` of this package.
    path : the file; it appears when it is complete, and replaces another one.
    augmented : whether the network was trained with augmentation, a layer without weights there.

    Raises
    ------
    ModelError : DeepProfiler has no such network.
    """
    family = _family(network)
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        listed = []
        for layer in network.layers:
            if isinstance(layer, keras.layers.InputLayer):
                names = [INPUT, *([AUGMENTATION] if augmented else [])]
                listed += [(name, None) for name in names]
            elif family.pads or not isinstance(layer, keras.layers.ZeroPadding2D):
                listed.append((family.layer(layer.name), layer))
        for name, layer in listed:
            _write_layer(file.create_group(name), name + family.suffix, layer)
        _write_layer(file.create_group(WHOLE_MODEL), WHOLE_MODEL, None)
        file.attrs["layer_names"] = [name.encode() for name, _ in listed]
        file.attrs["backend"] = "tensorflow"
        file.attrs["keras_version"] = KERAS_VERSION
    with atomic_file(path) as stream:
        stream.write(content.getbuffer())


def _family(network: keras.Model) -> _Family:
    for name, family in _FAMILIES.items():
        if network.name.startswith(name):
            return family
    raise ModelError(
        f"DeepProfiler has no network like {network.name!r}",
        where="the exported checkpoint",
        remedy=f"export one of: {', '.join(_FAMILIES)}; or hand on the model folder itself",
    )


def _write_layer(group: h5py.Group, scope: str, layer: keras.layers.Layer | None) -> None:
    """The weights of a layer as float32, and their names; none for layers without weights."""
    names = []
    for weight in layer.weights if layer is not None else ():
        names.append(f"{scope}/{_weight_name(layer, weight)}:0")
        group[names[-1]] = np.asarray(keras.ops.convert_to_numpy(weight), np.float32)
    group.attrs["weight_names"] = [name.encode() for name in names]


def _weight_name(layer: keras.layers.Layer | None, weight: keras.Variable) -> str:
    if isinstance(layer, keras.layers.DepthwiseConv2D) and weight.name == "kernel":
        return "depthwise_kernel"
    return weight.name
