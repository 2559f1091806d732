"""Augmentation: brightness and contrast, for every channel of every crop on its own."""

from typing import Any

import keras
from keras import ops

from dp_assets.networks.augmentation_layer import AugmentationLayer, Draw, Tensor


@keras.saving.register_keras_serializable("dp_assets")
class RandomBrightnessContrast(AugmentationLayer):
    """Shifts the grey levels of each channel and stretches them around the channel's mean, without clipping.

    Parameters
    ----------
    brightness : the shift is uniform in [-brightness, brightness), in units of the normalised crop.
    contrast : the stretch is uniform in [1 - contrast, 1 + contrast).
    seed : see `AugmentationLayer`.

    Source: DeepProfiler, section 5 of its behaviour (0.1 and 0.2).
    """

    def __init__(self, brightness: float = 0.1, contrast: float = 0.2, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.brightness = brightness
        self.contrast = contrast

    def draw(self, shape: tuple[Any, ...]) -> Draw:
        """`shift` and `factor`, both (cells, channels)."""
        each = (shape[0], shape[3])
        return {
            "shift": self._uniform(each, -self.brightness, self.brightness),
            "factor": self._uniform(each, 1.0 - self.contrast, 1.0 + self.contrast),
        }

    def transform(self, crops: Tensor, draw: Draw) -> Tensor:
        shift = draw["shift"][:, None, None, :]
        factor = draw["factor"][:, None, None, :]
        mean = ops.mean(crops, axis=(1, 2), keepdims=True)
        return (crops - mean) * factor + mean + shift

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "brightness": self.brightness, "contrast": self.contrast}
