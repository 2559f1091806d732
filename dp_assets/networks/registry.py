"""The networks there are, by name: the two of this package and those that installed plugins add."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

import keras

from dp_assets.config.errors import ModelError
from dp_assets.networks.architecture import Architecture, NetworkRequest
from dp_assets.networks.cnn import CNN
from dp_assets.networks.efficientnet import EFFICIENTNET

__all__ = [
    "Architecture",
    "NetworkRequest",
    "always_augments",
    "available_networks",
    "build_network",
    "optimizer_for",
    "uses_label_smoothing",
]

PLUGIN_GROUP = "dp_assets.networks"


def available_networks() -> tuple[str, ...]:
    """Names of the networks that can be built, sorted."""
    return tuple(sorted(_architectures()))


def build_network(request: NetworkRequest) -> keras.Model:
    """Build the network that is asked for.

    Returns
    -------
    A model from float32 crops (cells, rows, cols, channels), normalised, to float32 class probabilities
    (cells, classes), or to float32 features (cells, features) when `request.classes` is None.

    Raises
    ------
    ModelError : there is no network of this name, or it cannot be built with this variant or crop size.
    """
    return _architecture(request.name).build(request)


def optimizer_for(name: str, learning_rate: float) -> keras.Optimizer:
    """The optimizer that the network `name` is trained with (SGD with Nesterov momentum; for cnn Adam).

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


def _architecture(name: str) -> Architecture:
    try:
        return _architectures()[name.lower()]
    except KeyError:
        raise ModelError(
            f"there is no network named {name!r}",
            where="train.model.name",
            remedy=f"use one of: {', '.join(available_networks())}; or install the package that provides it",
        ) from None


@cache
def _architectures() -> Mapping[str, Architecture]:
    """All architectures by lower-case name. A plugin cannot take the name of a network of this package."""
    found = {architecture.name: architecture for architecture in (EFFICIENTNET, CNN)}
    for entry in entry_points(group=PLUGIN_GROUP):
        architecture = _load_plugin(entry)
        name = architecture.name.lower()
        if name in found:
            raise ModelError(
                f"the network name {name!r} is taken",
                where=f"plugin {entry.value}",
                remedy="uninstall the plugin, or give its network another name",
            )
        found[name] = architecture
    return MappingProxyType(found)


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
