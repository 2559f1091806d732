"""Augmentation: mirror images and quarter turns."""

from typing import Any

import keras
from keras import ops

from dp_assets.networks.augmentation_layer import AugmentationLayer, Draw, Tensor


@keras.saving.register_keras_serializable("dp_assets")
class RandomFlipRotation(AugmentationLayer):
    """Mirrors some crops left to right, then turns each by 0, 90, 180 or 270 degrees, equally often.

    Parameters
    ----------
    flip_probability : how often a crop is mirrored.
    seed : see `AugmentationLayer`.

    Source: DeepProfiler, section 5 of its behaviour.
    """

    def __init__(self, flip_probability: float = 0.5, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.flip_probability = flip_probability

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if input_shape[1] != input_shape[2]:
            raise ValueError(f"Expected square crops (cells, rows, cols, channels). Received: {input_shape}")
        self.built = True

    def draw(self, shape: tuple[Any, ...]) -> Draw:
        """`flip` (cells,) bool; `quarter_turns` (cells,) int32 in 0 ... 3, counter-clockwise."""
        cells = (shape[0],)
        return {
            "flip": self._uniform(cells, 0.0, 1.0) < self.flip_probability,
            "quarter_turns": keras.random.randint(cells, 0, 4, dtype="int32", seed=self.seed_generator),
        }

    def transform(self, crops: Tensor, draw: Draw) -> Tensor:
        turns = draw["quarter_turns"]
        crops = _where(draw["flip"], ops.flip(crops, axis=2), crops)
        # A quarter turn is a transposition followed by one mirroring; a half turn is two mirrorings.
        crops = _where(turns % 2 == 1, ops.swapaxes(crops, 1, 2), crops)
        crops = _where(ops.logical_or(turns == 1, turns == 2), ops.flip(crops, axis=1), crops)
        return _where(turns >= 2, ops.flip(crops, axis=2), crops)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "flip_probability": self.flip_probability}


def _where(chosen: Tensor, changed: Tensor, crops: Tensor) -> Tensor:
    """The changed crop where `chosen` (cells,), else the crop itself."""
    return ops.where(ops.reshape(chosen, (-1, 1, 1, 1)), changed, crops)
