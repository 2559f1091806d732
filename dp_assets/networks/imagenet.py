"""ImageNet weights for networks of any number of channels: from a local file, or from Keras' cache."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from dp_assets.config.errors import ModelError
from dp_assets.networks.application import Application, settled_names
from dp_assets.networks.layer_matching import layers_with_weights, stored_names
from dp_assets.networks.weight_files import StoredWeight, open_weights

CONFIGURATION_KEY = "model.imagenet_weights"
RGB = 3
INPUT_SCALING = "normalization"
Shapes = list[tuple[int, ...]]


def load_imagenet_weights(trunk: keras.Model, application: Application, path: Path | None) -> None:
    """Give a trunk of any number of channels the ImageNet weights of its application, all or none.

    Stem kernels are (rows, cols, channels, filters): channel i takes the kernel of RGB channel i mod 3. All
    other layers are copied by name.

    Parameters
    ----------
    trunk : the network without its heads, from `crop_trunk`.
    path : local file, with or without the head: Keras' published `.h5`, `.weights.h5` or `.keras`. None for
        Keras' cache; Keras downloads the file into it the first time.

    Raises
    ------
    ModelError : the file is missing or damaged, or holds another network (the first layer that differs is
        named); or there is no file and no connection (the message says where to put the file).

    Source: section 5 of DeepProfiler's behaviour ("`ImageNet` initialisation").
    """
    layers = layers_with_weights(trunk)
    values = _from_keras(layers, application) if path is None else _from_file(path, layers, application)
    for layer in layers:
        arrays = values[layer.name]
        if layer.name == application.stem:
            arrays[0] = arrays[0][:, :, np.arange(layer.weights[0].shape[2]) % RGB, :]
        layer.set_weights(arrays)


def keras_cache() -> Path:
    """The folder in which Keras keeps downloaded weights on this machine."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    # Keras goes elsewhere when it may not write there.
    return (home if os.access(home, os.W_OK) else Path(tempfile.gettempdir(), ".keras")) / "models"


def _rgb_shapes(layer: keras.layers.Layer, application: Application) -> Shapes:
    """Shapes of the layer's weights in the RGB network."""
    shapes = [tuple(weight.shape) for weight in layer.weights]
    if layer.name == application.stem:
        rows, cols, _, filters = shapes[0]
        shapes[0] = (rows, cols, RGB, filters)
    return shapes


def _from_keras(
    layers: Sequence[keras.layers.Layer], application: Application
) -> dict[str, list[np.ndarray]]:
    """Weights by layer name from Keras' cache or download."""
    side = application.smallest_side
    try:
        donor = application.make((side, side, RGB), weights="imagenet")
    except Exception as error:  # keras re-raises download failures as plain Exception
        raise ModelError(
            f"the ImageNet weights of {application.maker} are neither in {keras_cache()} nor can they be "
            f"downloaded: {error}",
            where=CONFIGURATION_KEY,
            remedy=f"get {application.weights_file} on a machine with internet (Keras keeps it in "
            f"~/.keras/models there); put it into {keras_cache()}, or into the project's inputs/pretrained "
            f'and name it in "{CONFIGURATION_KEY}"; or start without: "initialization": "random"',
        ) from error
    donors = {name: donor.get_layer(found) for found, name in settled_names(donor).items()}
    return {layer.name: donors[layer.name].get_weights() for layer in layers}


def _from_file(
    path: Path, layers: Sequence[keras.layers.Layer], application: Application
) -> dict[str, list[np.ndarray]]:
    """Weights by layer name from a local file."""
    with open_weights(path) as stored:
        trunk = {name: arrays for name, arrays in stored.items() if not _belongs_to_ends(name, arrays)}
        matched = _matched(path, layers, application, trunk)
        values = {name: [array.read() for array in arrays] for name, arrays in matched.items()}
    for name, arrays in values.items():
        if not all(np.isfinite(array).all() for array in arrays):
            raise _refusal(path, application, f"the weights of layer {name!r} are not finite")
    return values


def _belongs_to_ends(name: str, arrays: Sequence[StoredWeight]) -> bool:
    """Whether a layer is part of a head (dense) or of the input scaling, which networks for crops lack."""
    return name.startswith(INPUT_SCALING) or len(arrays[0].shape) == 2


def _matched(
    path: Path,
    layers: Sequence[keras.layers.Layer],
    application: Application,
    stored: Mapping[str, list[StoredWeight]],
) -> dict[str, list[StoredWeight]]:
    """The file's arrays by the network's layer names; refuses anything but the whole network."""
    names = stored_names(layers, stored)
    has_order = all(array.name for arrays in stored.values() for array in arrays)
    if len(names) < len(layers) == len(stored) and has_order:
        # Older releases of Keras named some layers otherwise; its files list them in the network's order.
        names = dict(zip((layer.name for layer in layers), stored, strict=True))
    for layer in layers:
        if layer.name not in names:
            raise _refusal(path, application, f"there is no layer {layer.name!r}")
        found = [array.shape for array in stored[names[layer.name]]]
        wanted = _rgb_shapes(layer, application)
        if found != wanted:
            raise _refusal(
                path,
                application,
                f"layer {layer.name!r} holds arrays of {found}; expected {wanted}",
            )
    taken = set(names.values())
    further = [name for name in stored if name not in taken]
    if further:
        raise _refusal(path, application, f"there is a further layer {further[0]!r}")
    return {layer.name: stored[names[layer.name]] for layer in layers}


def _refusal(path: Path, application: Application, what: str) -> ModelError:
    return ModelError(
        f"is not the ImageNet weights of {application.maker}: {what}",
        where=f"{CONFIGURATION_KEY}: {path}",
        remedy=f"give Keras' file of this network, {application.weights_file}",
    )
