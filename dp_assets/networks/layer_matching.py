"""Which layer of a weight file belongs to which layer of a network, where the two are named differently.

Most layers of the original program's networks have the names they have here. Three things differ: Keras 2
allowed slashes in names ("conv1/conv" of DenseNet); layers that nobody named are counted in the order in
which they were made ("conv2d_7"), over the whole process, so that numbers start anywhere; and some of those
have a name here.
"""

import re
from collections.abc import Iterable, Sequence

import keras

_COUNTED = {
    "conv2d": keras.layers.Conv2D,
    "conv2d_transpose": keras.layers.Conv2DTranspose,
    "batch_normalization": keras.layers.BatchNormalization,
    "dense": keras.layers.Dense,
}
_COUNTED_NAME = re.compile(rf"({'|'.join(_COUNTED)})(?:_(\d+))?")


def layers_with_weights(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers that have weights of their own, in the model's order, those of nested models too."""
    found: list[keras.layers.Layer] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found.extend(layers_with_weights(layer))
        elif layer.weights:
            found.append(layer)
    return found


def stored_names(layers: Sequence[keras.layers.Layer], stored: Iterable[str]) -> dict[str, str]:
    """The name in the file of every layer that the file has.

    Parameters
    ----------
    layers : the layers of the network that have weights.
    stored : names of the layers in the file that have weights.

    Returns
    -------
    Name of the layer -> its name in the file. Layers that were never named go by their order among the layers
    of their kind.
    """
    named = {name.replace("/", "_"): name for name in stored if not is_counted(name)}
    found = {layer.name: named[layer.name] for layer in layers if layer.name in named}
    left = [layer for layer in layers if layer.name not in found]
    for kind, counted in _counted(stored).items():
        ours = [layer for layer in left if type(layer) is _COUNTED[kind]]
        found |= {layer.name: name for layer, name in zip(creation_order(ours), counted, strict=False)}
    return found


def is_counted(name: str) -> bool:
    """Whether a name is one that Keras makes up for a layer without a name, such as "conv2d_7"."""
    return _COUNTED_NAME.fullmatch(name) is not None


def creation_order(layers: Sequence[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Layers of one kind in the order in which they were made: by their number, else as they come."""
    return sorted(layers, key=lambda layer: _number(layer.name) if is_counted(layer.name) else -1)


def _counted(stored: Iterable[str]) -> dict[str, list[str]]:
    """Kind of layer -> the counted names of that kind, by number."""
    found: dict[str, list[str]] = {}
    for name in sorted(filter(is_counted, stored), key=_number):
        match = _COUNTED_NAME.fullmatch(name)
        assert match is not None
        found.setdefault(match[1], []).append(name)
    return found


def _number(name: str) -> int:
    match = _COUNTED_NAME.fullmatch(name)
    return int(match[2] or 0) if match else 0
