"""Small networks for tests."""

import keras

from dp_assets.networks.registry import NetworkRequest, build_network

EFFICIENTNET_REQUEST = NetworkRequest("efficientnet", (96, 96, 5), 3)
CNN_REQUEST = NetworkRequest("cnn", (16, 16, 2), 3, conv_blocks=2, feature_dim=8, target="Treatment")


def small_cnn(**changes: object) -> keras.Model:
    """A network that is built in a moment; `changes` are fields of its request."""
    return build_network(NetworkRequest(**{**CNN_REQUEST.__dict__, **changes}))
