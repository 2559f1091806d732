"""The networks there are, by name: those of this package, of installed plugins and of the project."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

import keras

from dp_assets.config.errors import ModelError
from dp_assets.config.network import NETWORK_NAMES
from dp_assets.networks.architecture import Architecture, NetworkRequest
from dp_assets.networks.autoencoder import AUTOENCODER
from dp_assets.networks.cnn import CNN
from dp_assets.networks.densenet import DENSENET
from dp_assets.networks.efficientnet import EFFICIENTNET
from dp_assets.networks.inception_resnet_v2 import INCEPTION_RESNET_V2
from dp_assets.networks.plugins import project_plugins
from dp_assets.networks.resnet import RESNET

__all__ = [
    "Architecture",
    "NetworkRequest",
    "always_augments",
    "available_networks",
    "build_network",
    "feature_layer_name",
    "optimizer_for",
    "reconstructs",
    "uses_label_smoothing",
]

PLUGIN_GROUP = "dp_assets.networks"
BUILT_IN = (AUTOENCODER, CNN, DENSENET, EFFICIENTNET, INCEPTION_RESNET_V2, RESNET)


def available_networks() -> tuple[str, ...]:
    """Names of the networks that can be built, sorted."""
    return tuple(sorted(_known()))


def build_network(request: NetworkRequest) -> keras.Model:
    """Build the network that is asked for.

    Returns
    -------
    A model from float32 crops (cells, rows, cols, channels), normalised, to float32 class probabilities
    (cells, classes), a list of them for several heads, float32 features (cells, features) when
    `request.classes` is None, or crops when the network reconstructs them.

    Raises
    ------
    ModelError : there is no network of this name, it cannot be built with this variant or crop size, or its
        ImageNet weights cannot be had.
    """
    architecture = _architecture(request.name)
    return architecture.build(replace(request, name=architecture.name))


def optimizer_for(name: str, learning_rate: float) -> keras.Optimizer:
    """The optimizer that the network `name` is trained with (SGD with Nesterov momentum, or Adam).

    Raises
    ------
    ModelError : there is no network of this name.
    """
    return _architecture(name).optimizer(learning_rate)


def uses_label_smoothing(name: str) -> bool:
    """Whether `label_smoothing` applies to the network `name`; ModelError for an unknown network."""
    return _architecture(name).label_smoothing


def always_augments(name: str) -> bool:
    """Whether the network `name` is always trained with augmentation; ModelError for an unknown network."""
    return _architecture(name).always_augments


def reconstructs(name: str) -> bool:
    """Whether the network `name` is trained to give the crop back; ModelError for an unknown network."""
    return _architecture(name).reconstructs


def feature_layer_name(network_name: str, asked: str) -> str:
    """The layer of a network that a user means by `asked`.

    Configurations for ImageNet weights name the pooling layer as Keras does ("avg_pool"), others as
    DeepProfiler does ("pool5"); both are understood. Names that are no alias come back as they are.

    Raises
    ------
    ModelError : there is no network of this name.
    """
    return _architecture(network_name).feature_aliases.get(asked, asked)


def _architecture(name: str) -> Architecture:
    lower = name.strip().lower()
    known = _known()
    try:
        return known[NETWORK_NAMES.get(lower, lower)]
    except KeyError:
        raise ModelError(
            f"there is no network named {name!r}",
            where="train.model.name",
            remedy=f"use one of: {', '.join(sorted(known))}; or install the package that provides it, "
            "or put its file into the project's folder plugins",
        ) from None


def _known() -> Mapping[str, Architecture]:
    """All architectures by lower-case name, with those of the project's plugins."""
    plugins = project_plugins()
    installed = _architectures()
    for name, architecture in plugins.networks.items():
        # A plugin may import a network to derive another one from it.
        if installed.get(name, architecture) is not architecture:
            raise _taken(name, plugins.file_of(name))
    return {**installed, **plugins.networks}


@cache
def _architectures() -> Mapping[str, Architecture]:
    """The architectures of this package and of installed plugins, which cannot take names of this package."""
    found = {architecture.name: architecture for architecture in BUILT_IN}
    for entry in entry_points(group=PLUGIN_GROUP):
        architecture = _load_plugin(entry)
        name = architecture.name.lower()
        if name in found:
            raise _taken(name, f"plugin {entry.value}")
        found[name] = architecture
    return MappingProxyType(found)


def _taken(name: str, where: str) -> ModelError:
    return ModelError(
        f"the network name {name!r} is taken",
        where=where,
        remedy="remove the plugin, or give its network another name",
    )


def _load_plugin(entry: EntryPoint) -> Architecture:
    try:
        architecture = entry.load()
    except Exception as error:  # whatever a plugin raises while it is imported is the plugin's fault
        raise ModelError(
            f"cannot be imported: {error}",
            where=f"plugin {entry.value}",
            remedy="repair or uninstall the package that provides it",
        ) from error
    if not isinstance(architecture, Architecture):
        raise ModelError(
            f"is a {type(architecture).__name__}; expected a dp_assets.networks.architecture.Architecture",
            where=f"plugin {entry.value}",
            remedy="repair or uninstall the package that provides it",
        )
    return architecture
