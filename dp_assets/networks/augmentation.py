"""The augmentation that networks are trained with: the layers of this room in the handbook's order."""

from typing import Any

import keras

from dp_assets.networks.architecture import layer_seed
from dp_assets.networks.augmentation_layer import AugmentationLayer, Tensor
from dp_assets.networks.random_brightness_contrast import RandomBrightnessContrast
from dp_assets.networks.random_flip_rotation import RandomFlipRotation
from dp_assets.networks.random_square_crop import RandomSquareCrop


@keras.saving.register_keras_serializable("dp_assets")
class CropAugmentation(keras.layers.Layer):
    """Random part, mirror image and quarter turn, brightness and contrast; while training only.

    Parameters
    ----------
    seed : every layer draws from a seed of its own derived from this one.

    Input and output: float32 (cells, rows, cols, channels), square crops.
    """

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.seed = seed
        self.steps: list[AugmentationLayer] = [
            RandomSquareCrop(seed=layer_seed(seed, "square crop"), name="random_square_crop"),
            RandomFlipRotation(seed=layer_seed(seed, "flip and rotation"), name="random_flip_rotation"),
            RandomBrightnessContrast(
                seed=layer_seed(seed, "brightness and contrast"), name="random_brightness_contrast"
            ),
        ]

    def reseed(self, epoch: int) -> None:
        """Begin the draws of an epoch (0-based): they depend on (seed, epoch), not on what was drawn before.

        Call between epochs, never inside a compiled step.
        """
        for step in self.steps:
            step.reseed(epoch)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for step in self.steps:
            step.build(input_shape)
        self.built = True

    def call(self, crops: Tensor, training: bool | None = None) -> Tensor:
        for step in self.steps:
            crops = step(crops, training=training)
        return crops

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


def augmentation_pipeline(seed: int) -> CropAugmentation:
    """The layer to put before a network while it trains; call its `reseed(epoch)` before every epoch."""
    return CropAugmentation(seed=seed, name="augmentation")
