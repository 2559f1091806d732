"""Putting the weights of a file into a network, matched by layer name, whatever Keras wrote the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from dp_assets.config.errors import ModelError
from dp_assets.networks.weight_files import StoredWeight, open_weights

SHOWN_NAMES = 3


@dataclass(frozen=True)
class LoadReport:
    """Names of the network's layers with weights, in the network's order.

    Attributes
    ----------
    loaded : layers whose weights came from the file.
    skipped : layers of another shape in the file (a head for other classes), which kept their weights.
    missing : layers that the file does not have (a head of another name), which kept their weights.
    """

    loaded: tuple[str, ...]
    skipped: tuple[str, ...]
    missing: tuple[str, ...]


def load_weights_by_name(model: keras.Model, path: Path) -> LoadReport:
    """Load a checkpoint into a network, all of it or nothing; only the head may differ from the file.

    Parameters
    ----------
    model : the network; its weights change only when the whole file fits.
    path : HDF5 checkpoint of the original DeepProfiler (Keras 2), or Keras 3 `.weights.h5` or `.keras`.

    Raises
    ------
    ModelError : the file cannot be read, holds another network, takes another number of channels, or has
        numbers that are not finite.

    Source: section 6 of DeepProfiler's behaviour ("Weights by layer name from `checkpoint`").
    """
    layers = _layers_with_weights(model)
    head = model.output_names[0]
    with open_weights(path) as stored:
        missing = [layer.name for layer in layers if layer.name not in stored]
        pairs = [
            (layer, _in_layer_order(layer, stored[layer.name])) for layer in layers if layer.name in stored
        ]
        unfit = [(layer, arrays) for layer, arrays in pairs if not _fits(layer, arrays)]
        _refuse_other_network(model, path, head, [layer.name for layer, _ in pairs], missing)
        _refuse_other_shapes(path, head, layers[0].name, unfit)
        skipped = {layer.name for layer, _ in unfit}
        fitting = [(layer, arrays) for layer, arrays in pairs if layer.name not in skipped]
        values = [(layer, _read(path, layer.name, arrays)) for layer, arrays in fitting]
    for layer, arrays in values:
        layer.set_weights(arrays)
    return LoadReport(
        loaded=tuple(layer.name for layer, _ in values),
        skipped=tuple(layer.name for layer, _ in unfit),
        missing=tuple(missing),
    )


def _layers_with_weights(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers that have weights of their own, those of nested models too."""
    found: list[keras.layers.Layer] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found.extend(_layers_with_weights(layer))
        elif layer.weights:
            found.append(layer)
    return found


def _in_layer_order(layer: keras.layers.Layer, stored: Sequence[StoredWeight]) -> list[StoredWeight]:
    """The arrays in the order of `layer.weights`: by variable name where it is known, else as they come."""
    by_name = {weight.name: weight for weight in stored}
    names = [weight.name for weight in layer.weights]
    if set(names) == set(by_name) and len(by_name) == len(stored):
        return [by_name[name] for name in names]
    return list(stored)


def _fits(layer: keras.layers.Layer, arrays: Sequence[StoredWeight]) -> bool:
    return [tuple(weight.shape) for weight in layer.weights] == [array.shape for array in arrays]


def _read(path: Path, layer: str, arrays: Sequence[StoredWeight]) -> list[np.ndarray]:
    values = [array.read() for array in arrays]
    if not all(np.isfinite(value).all() for value in values):
        raise ModelError(
            f"the weights of layer {layer!r} are not finite",
            where=str(path),
            remedy="training diverged; use an earlier checkpoint, or train with a smaller learning rate",
        )
    return values


def _refuse_other_network(
    model: keras.Model, path: Path, head: str, present: Sequence[str], missing: Sequence[str]
) -> None:
    """A part left random would make features of noise, so every layer but the head must be in the file."""
    if set(missing) - {head}:
        some = ", ".join(missing[:SHOWN_NAMES]) + (", ..." if len(missing) > SHOWN_NAMES else "")
        share = f"{len(missing)} of {len(present) + len(missing)}"
        raise ModelError(
            f"lacks {share} layers of the network {model.name!r}: {some}",
            where=str(path),
            remedy="it is of another network; set train.model.name and conv_blocks to what it was made with",
        )


def _refuse_other_shapes(
    path: Path,
    head: str,
    stem: str,
    unfit: Sequence[tuple[keras.layers.Layer, Sequence[StoredWeight]]],
) -> None:
    for layer, arrays in unfit:
        wanted = tuple(layer.weights[0].shape)
        found = arrays[0].shape
        if layer.name == stem and len(found) == 4 and found[:2] + found[3:] == wanted[:2] + wanted[3:]:
            raise ModelError(
                f"was trained on {found[2]} channels, but the network takes {wanted[2]}",
                where=str(path),
                remedy="list in dataset.images.channels what the checkpoint was trained on, in that order",
            )
        if layer.name != head:
            raise ModelError(
                f"layer {layer.name!r} has the shape {found}, but the network needs {wanted}",
                where=str(path),
                remedy="set conv_blocks, feature_dim and box_size to what the checkpoint was made with",
            )
