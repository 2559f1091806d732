"""Files as Keras publishes ImageNet weights, with random numbers, and the networks of keras.applications."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from dp_assets.networks import densenet, efficientnet, inception_resnet_v2, resnet
from dp_assets.networks.application import Application


@dataclass(frozen=True)
class Family:
    """The smallest network of a family, and how it is asked for."""

    name: str
    conv_blocks: int
    application: Application


FAMILIES = {
    family.name: family
    for family in (
        Family("efficientnet", 0, efficientnet.SIZES[0]),
        Family("resnet", 50, resnet.SIZES[50]),
        Family("densenet", 121, densenet.SIZES[121]),
        Family("inception_resnet_v2", 0, inception_resnet_v2.APPLICATION),
    )
}


def published_network(family: Family) -> keras.Model:
    """The network of keras.applications for RGB, without a head, with weights that tell all layers apart."""
    side = family.application.smallest_side
    maker = getattr(keras.applications, family.application.maker)
    network = maker(include_top=False, weights=None, input_shape=(side, side, 3), pooling="avg")
    rng = np.random.default_rng(len(family.name))
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shifts, scales = rng.normal(0, 0.1, layer.beta.shape), rng.uniform(0.5, 1.5, layer.beta.shape)
            gamma = [scales[::-1]] if layer.scale else []
            layer.set_weights([*gamma, shifts, shifts[::-1], scales])
        elif isinstance(layer, keras.layers.Normalization):
            layer.set_weights([np.array([0.4, 0.5, 0.6]), np.array([0.04, 0.05, 0.06]), np.array(0)])
            layer.finalize_state()
    return network


def with_top(network: keras.Model) -> keras.Model:
    """The same network with a head of ImageNet."""
    return keras.Model(network.input, keras.layers.Dense(10, name="predictions")(network.output))


def write_published(network: keras.Model, path: Path) -> Path:
    """Write the layout of the published files, with Keras' own writer of it."""
    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, network)
    return path


def rename_layers(path: Path, names: dict[str, str]) -> None:
    """Give layers of a published file other names, as older releases of Keras did."""
    with h5py.File(path, "a") as file:
        listed = [name.decode() if isinstance(name, bytes) else name for name in file.attrs["layer_names"]]
        for name in [name for name in listed if name in names]:
            file.move(name, "moved")
            file.move("moved", names[name])
        file.attrs["layer_names"] = [names.get(name, name).encode() for name in listed]
