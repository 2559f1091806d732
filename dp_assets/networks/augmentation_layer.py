"""The frame of every augmentation layer: a random draw per crop, kept apart from its application."""

from abc import abstractmethod
from typing import Any

import keras

from dp_assets.networks.architecture import layer_seed

Tensor = Any
"""A tensor of the Keras backend in use."""
Draw = dict[str, Tensor]
"""What was drawn for a batch: named tensors with one entry (or one per channel) for every crop."""


class AugmentationLayer(keras.layers.Layer):
    """Changes crops at random while training, and hands them through untouched otherwise.

    Subclasses say what is drawn (`draw`) and what a draw does to crops (`transform`); masks that must follow
    their images are given to `transform` with the same draw.

    Parameters
    ----------
    seed : the draws of epoch e depend on (seed, e) and on the number of the batch within the epoch only.

    Input and output: float (cells, rows, cols, channels).
    """

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        # Half precision cannot tell neighbouring grey levels apart, so augmentation stays in float32.
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(self._epoch_seed(0))

    def reseed(self, epoch: int) -> None:
        """Begin the draws of an epoch (0-based). Call between epochs, never inside a compiled step."""
        state = self.seed_generator.state
        state.assign(keras.ops.cast([self._epoch_seed(epoch), 0], state.dtype))

    @abstractmethod
    def draw(self, shape: tuple[Any, ...]) -> Draw:
        """Draw the changes of a batch of `shape` (cells, rows, cols, channels); cells may be symbolic."""

    @abstractmethod
    def transform(self, crops: Tensor, draw: Draw) -> Tensor:
        """Apply a draw to crops (cells, rows, cols, channels)."""

    def call(self, crops: Tensor, training: bool | None = None) -> Tensor:
        if not training:
            return crops
        return self.transform(crops, self.draw(keras.ops.shape(crops)))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}

    def _epoch_seed(self, epoch: int) -> int:
        return layer_seed(self.seed, f"epoch {epoch}")

    def _uniform(self, shape: tuple[Any, ...], low: float, high: float) -> Tensor:
        """Float32 numbers in [low, high)."""
        return keras.random.uniform(shape, low, high, dtype="float32", seed=self.seed_generator)
