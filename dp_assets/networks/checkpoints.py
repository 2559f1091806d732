"""Putting the weights of a file into a network, matched by layer name, whatever Keras wrote the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from dp_assets.config.errors import ModelError
from dp_assets.networks.layer_matching import layers_with_weights, stored_names
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


@dataclass(frozen=True)
class _Match:
    """A layer of the network with its arrays in the file, in the order of `layer.weights`."""

    layer: keras.layers.Layer
    arrays: list[StoredWeight]

    @property
    def fits(self) -> bool:
        return [tuple(weight.shape) for weight in self.layer.weights] == [a.shape for a in self.arrays]


def load_weights_by_name(model: keras.Model, path: Path) -> LoadReport:
    """Load a checkpoint into a network, all of it or nothing; only the heads may differ from the file.

    Parameters
    ----------
    model : the network; its weights change only when the whole file fits.
    path : HDF5 checkpoint of the original DeepProfiler (Keras 2), or Keras 3 `.weights.h5` or `.keras`. What
        the file has besides the network's layers (the head of ImageNet) is left out.

    Raises
    ------
    ModelError : the file cannot be read, holds another network, takes another number of channels, or has
        numbers that are not finite.

    Source: section 6 of DeepProfiler's behaviour ("Weights by layer name from `checkpoint`").
    """
    layers = layers_with_weights(model)
    heads = set(model.output_names)
    with open_weights(path) as stored:
        matches, missing = _matched(layers, stored)
        _refuse_other_network(model, path, heads, matches, missing)
        _refuse_other_shapes(path, heads, layers[0].name, [match for match in matches if not match.fits])
        return _put(path, matches, missing)


def load_matching_weights(model: keras.Model, path: Path) -> LoadReport:
    """Load what a checkpoint and a network have in common, to train the network from there.

    Layers of equal name and equal shapes take the weights of the file; all others keep theirs and are listed,
    such as a stem for another number of channels or a head for other classes.

    Parameters
    ----------
    model, path : as for `load_weights_by_name`.

    Raises
    ------
    ModelError : the file cannot be read, has numbers that are not finite, or no layer in common.
    """
    with open_weights(path) as stored:
        matches, missing = _matched(layers_with_weights(model), stored)
        if not any(match.fits for match in matches):
            raise ModelError(
                f"has no layer in common with the network {model.name!r}",
                where=str(path),
                remedy="start from a checkpoint of the same network (train.model.name, conv_blocks)",
            )
        return _put(path, matches, missing)


def _matched(
    layers: Sequence[keras.layers.Layer], stored: Mapping[str, list[StoredWeight]]
) -> tuple[list[_Match], list[str]]:
    """The layers that the file has, with their arrays, and the names of those that it has not."""
    names = stored_names(layers, stored)
    matches = [
        _Match(layer, _in_layer_order(layer, stored[names[layer.name]]))
        for layer in layers
        if layer.name in names
    ]
    return matches, [layer.name for layer in layers if layer.name not in names]


def _in_layer_order(layer: keras.layers.Layer, stored: Sequence[StoredWeight]) -> list[StoredWeight]:
    """The arrays in the order of `layer.weights`: by variable name where it is known, else as they come."""
    by_name = {weight.name: weight for weight in stored}
    names = [weight.name for weight in layer.weights]
    if set(names) == set(by_name) and len(by_name) == len(stored):
        return [by_name[name] for name in names]
    return list(stored)


def _put(path: Path, matches: Sequence[_Match], missing: Sequence[str]) -> LoadReport:
    """Give every layer that fits its weights; all are read before the first is changed."""
    fitting = [match for match in matches if match.fits]
    values = [_read(path, match) for match in fitting]
    for match, arrays in zip(fitting, values, strict=True):
        match.layer.set_weights(arrays)
    return LoadReport(
        loaded=tuple(match.layer.name for match in fitting),
        skipped=tuple(match.layer.name for match in matches if not match.fits),
        missing=tuple(missing),
    )


def _read(path: Path, match: _Match) -> list[np.ndarray]:
    values = [array.read() for array in match.arrays]
    if not all(np.isfinite(value).all() for value in values):
        raise ModelError(
            f"the weights of layer {match.layer.name!r} are not finite",
            where=str(path),
            remedy="training diverged; use an earlier checkpoint, or train with a smaller learning rate",
        )
    return values


def _refuse_other_network(
    model: keras.Model, path: Path, heads: set[str], matches: Sequence[_Match], missing: Sequence[str]
) -> None:
    """A part left random would make features of noise, so every layer but the heads must be in the file."""
    if set(missing) - heads:
        some = ", ".join(missing[:SHOWN_NAMES]) + (", ..." if len(missing) > SHOWN_NAMES else "")
        share = f"{len(missing)} of {len(matches) + len(missing)}"
        raise ModelError(
            f"lacks {share} layers of the network {model.name!r}: {some}",
            where=str(path),
            remedy="it is of another network; set train.model.name and conv_blocks to what it was made with",
        )


def _refuse_other_shapes(path: Path, heads: set[str], stem: str, unfit: Sequence[_Match]) -> None:
    for match in unfit:
        layer, wanted, found = match.layer, _shape(match.layer), match.arrays[0].shape
        if layer.name == stem and len(found) == 4 and found[:2] + found[3:] == wanted[:2] + wanted[3:]:
            raise ModelError(
                f"was trained on {found[2]} channels, but the network takes {wanted[2]}",
                where=str(path),
                remedy="list in dataset.images.channels what the checkpoint was trained on, in that order",
            )
        if layer.name not in heads:
            raise ModelError(
                f"layer {layer.name!r} has the shape {found}, but the network needs {wanted}",
                where=str(path),
                remedy="set conv_blocks, feature_dim and box_size to what the checkpoint was made with",
            )


def _shape(layer: keras.layers.Layer) -> tuple[int, ...]:
    return tuple(layer.weights[0].shape)
