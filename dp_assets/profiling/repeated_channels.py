"""Features from a network of colour images: every channel of a crop on its own, one after the other."""

import keras
import numpy as np

from dp_assets.profiling.extraction import FeatureExtractor
from dp_assets.profiling.network_input import grey_images


class RepeatedChannelExtractor:
    """The features of every channel by itself, side by side in the order of the channels.

    A call has one batch of one channel in the network at any time.

    Attributes
    ----------
    dimension : number of features of a cell, all channels together.
    calls_at_once : as for `FeatureExtractor`.

    Source: DeepProfiler's `repeat_channel_crop_generator`, section 6 of its behaviour.
    """

    def __init__(
        self,
        model: keras.Model,
        layer: str,
        batch_size: int,
        crop_size: int,
        channels: int,
        *,
        xla: bool = False,
    ) -> None:
        """Prepare the extraction.

        Parameters
        ----------
        model : network from float32 RGB images (cells, rows, cols, 3), -1 to 1.
        layer, batch_size, xla : as for `FeatureExtractor`.
        crop_size : rows and columns of a crop.
        channels : number of channels of a crop.

        Raises
        ------
        ModelError : the network takes another number of channels than three; or as `FeatureExtractor`.
        """
        front = grey_images(crop_size, int(model.inputs[0].shape[1]))
        self._extract = FeatureExtractor(model, layer, batch_size, front=front, xla=xla)
        self._channels = channels
        self.dimension = channels * self._extract.dimension
        self.calls_at_once = self._extract.calls_at_once

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """Features of crops.

        Parameters
        ----------
        crops : float32 (cells, rows, cols, channels).

        Returns
        -------
        float32 (cells, features): those of the first channel, then those of the second, ...
        """
        if crops.shape[3] != self._channels:
            raise ValueError(f"Expected crops of {self._channels} channels. Received shape {crops.shape}.")
        return np.concatenate(
            [self._extract(crops[..., channel : channel + 1]) for channel in range(self._channels)], axis=1
        )
