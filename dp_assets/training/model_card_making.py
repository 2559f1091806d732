"""Writing down what a model is: the card of a network that was trained here or brought from elsewhere."""

from importlib.metadata import PackageNotFoundError, version

import keras

from dp_assets.config.stages import CropSettings, TrainingSettings
from dp_assets.networks.registry import always_augments
from dp_assets.storage.model_card import ModelCard, crop_facts

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
    source : "train", "checkpoint" or "imagenet".
    facts : further fields of the card (classes, plates, scores, ...), and what is known better than by the
        settings.
    """
    return ModelCard.model_validate(
        {
            "network": name,
            "conv_blocks": conv_blocks,
            "layers": [layer.name for layer in network.layers],
            **crop_facts(settings),
            "augmented": _augmented(settings, name),
            "input_size": int(network.inputs[0].shape[1]),
            "precision": precision,
            "source": source,
            "versions": _versions(),
            **facts,
        }
    )


def _augmented(settings: CropSettings, name: str) -> bool:
    if not isinstance(settings, TrainingSettings):
        return False
    return settings.network.augmentations or always_augments(name)


def _versions() -> dict[str, str]:
    found = {}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
