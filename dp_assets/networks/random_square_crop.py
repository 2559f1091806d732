"""Augmentation: a random part of the crop, enlarged back to the full size."""

from typing import Any

import keras
from keras import ops

from dp_assets.networks.augmentation_layer import AugmentationLayer, Draw, Tensor


@keras.saving.register_keras_serializable("dp_assets")
class RandomSquareCrop(AugmentationLayer):
    """Takes a part of the crop, `smallest` to 1 of its sides, anywhere in it; resizes it back bilinearly.

    Parameters
    ----------
    probability : how often a crop is changed at all.
    smallest : the least fraction of the sides that is kept; fractions are uniform in [smallest, 1).
    seed : see `AugmentationLayer`.

    Source: DeepProfiler, section 5 of its behaviour (p = 0.5, 80-100 %).
    """

    def __init__(self, probability: float = 0.5, smallest: float = 0.8, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        if not 0 < smallest <= 1:
            raise ValueError(f"Expected smallest in (0, 1]. Received: smallest={smallest}")
        self.probability = probability
        self.smallest = smallest

    def draw(self, shape: tuple[Any, ...]) -> Draw:
        """`side` (cells,) fraction of the crop kept; `top`, `left` (cells,) its corner; all in crop sides."""
        cells = (shape[0],)
        chosen = self._uniform(cells, 0.0, 1.0) < self.probability
        side = ops.where(chosen, self._uniform(cells, self.smallest, 1.0), 1.0)
        return {
            "side": side,
            "top": self._uniform(cells, 0.0, 1.0) * (1.0 - side),
            "left": self._uniform(cells, 0.0, 1.0) * (1.0 - side),
        }

    def transform(self, crops: Tensor, draw: Draw) -> Tensor:
        resized = _resample_rows(crops, draw["top"], draw["side"])
        # The columns are resampled as the rows of the transposed crops.
        resized = _resample_rows(ops.swapaxes(resized, 1, 2), draw["left"], draw["side"])
        return ops.swapaxes(resized, 1, 2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "probability": self.probability, "smallest": self.smallest}


def _resample_rows(crops: Tensor, start: Tensor, side: Tensor) -> Tensor:
    """Rows of every crop from `start` on over `side`, both in fractions of rows - 1, linearly interpolated.

    Gathers, not a matrix product: exact where nothing changes (side 1), also on devices that round products.
    """
    cells, rows, cols, channels = ops.shape(crops)
    last = rows - 1
    position = start[:, None] * last + side[:, None] * ops.arange(rows, dtype="float32")
    position = ops.clip(position, 0.0, last)
    below = ops.floor(position)
    fraction = (position - below)[:, :, None]
    below = ops.cast(below, "int32")
    above = ops.minimum(below + 1, last)
    first = ops.expand_dims(ops.arange(cells, dtype="int32") * rows, 1)
    flat = ops.reshape(crops, (-1, cols * channels))
    lower = ops.take(flat, first + below, axis=0)
    upper = ops.take(flat, first + above, axis=0)
    return ops.reshape(lower + (upper - lower) * fraction, (-1, rows, cols, channels))
