"""Writing down what a model is: the card of a network that was trained here or brought from elsewhere."""

from importlib.metadata import PackageNotFoundError, version

import keras

from dp_assets.config.stages import CropSettings
from dp_assets.storage.model_folder import ModelCard

RECORDED_PACKAGES = ("dp-assets", "keras", "tensorflow", "jax", "numpy")


def card_of(
    network: keras.Model,
    settings: CropSettings,
    *,
    name: str,
    conv_blocks: int,
    precision: str,
    source: str,
    **facts: object,
) -> ModelCard:
    """The card of a network.

    Parameters
    ----------
    network : takes crops (rows, cols, channels) as `settings` describes them.
    name, conv_blocks : the architecture.
    source : "train" or "checkpoint".
    facts : further fields of the card (classes, plates, scores, ...).
    """
    return ModelCard.model_validate(
        {
            "network": name,
            "conv_blocks": conv_blocks,
            "layers": [layer.name for layer in network.layers],
            "channels": settings.images.channels,
            "box_size": settings.locations.box_size,
            "bits": settings.images.bits,
            "normalization": settings.single_cells.normalization,
            "sampling": settings.single_cells.sampling,
            "input_size": int(network.inputs[0].shape[1]),
            "precision": precision,
            "source": source,
            "versions": _versions(),
            **facts,
        }
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
