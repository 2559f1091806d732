"""Features of cells: the output of one layer of a network, for any number of crops."""

import difflib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

from dp_assets.config.errors import ModelError
from dp_assets.networks.device_memory import out_of_memory
from dp_assets.networks.folded_norms import fold_batch_norms
from dp_assets.profiling.network_input import resized_crops

SHOWN_LAYERS = 5

logger = logging.getLogger(__name__)


class FeatureExtractor:
    """The network up to one layer, spatial axes averaged, as one compiled function of a constant batch size.

    Attributes
    ----------
    layer : name of the layer.
    batch_size : crops that go through the network at once; a shorter last batch is filled up with zeros.
        Where the device's memory does not hold so many, half as many go at once, and so on.
    dimension : number of features of a cell.
    calls_at_once : how many threads may call it at the same time. Two batches in the network keep all
        cores, or the device, busy where one alone leaves gaps; Keras on JAX takes one at a time.

    Source: section 6 of DeepProfiler's behaviour ("output of `feature_layer`, spatial axes averaged").
    """

    def __init__(
        self,
        model: keras.Model,
        layer: str,
        batch_size: int,
        *,
        crop_size: int | None = None,
        front: keras.Model | None = None,
        xla: bool = False,
    ) -> None:
        """Prepare the extraction.

        Parameters
        ----------
        model : network from float32 crops (cells, rows, cols, channels).
        layer : name of the layer whose output is wanted, at any stage of the network.
        batch_size : at least 1.
        crop_size : rows and columns of a crop, when crops are to be resized to the network's input.
        front : what makes the network's input of crops; None when it is crops.
        xla : compile with XLA (slower on CPUs). JAX compiles with it always.

        Raises
        ------
        ModelError : there is no such layer, the network does not take what `front` makes, or the batch size
            is not positive.
        """
        if batch_size < 1:
            raise ModelError(
                f"batch_size is {batch_size}; expected a positive whole number",
                where="profile.batch_size",
                remedy="use for example 32",
            )
        self.layer = layer
        self.batch_size = batch_size
        network = fold_batch_norms(keras.Model(model.inputs, _pooled(_find_layer(model, layer).output)))
        _, rows, _, channels = model.inputs[0].shape
        if front is None and crop_size is not None and crop_size != rows:
            front = resized_crops(crop_size, rows, channels)
        self._network = network if front is None else _after(front, network)
        self._crop_shape = tuple(self._network.inputs[0].shape[1:])
        self._network.compile(jit_compile=xla or keras.backend.backend() == "jax")
        self.dimension: int = int(self._network.output_shape[-1])
        self.calls_at_once = 2 if keras.backend.backend() == "tensorflow" else 1
        self._at_once = batch_size
        self._most_inside, self._inside = self.calls_at_once, 0
        self._door = threading.Condition()
        # Before threads share it.
        self._network.make_predict_function()

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """Features of crops.

        Parameters
        ----------
        crops : float32 (cells, rows, cols, channels), normalised as the network was trained.

        Returns
        -------
        float32 (cells, features), in the order of the crops. A cell's features do not depend on the others.

        Raises
        ------
        ModelError : the crops are not of the size or number of channels that the network takes, or the memory
            does not hold a single one.
        """
        if crops.shape[1:] != self._crop_shape:
            raise ModelError(
                f"crops (rows, cols, channels) are {crops.shape[1:]}; the network takes {self._crop_shape}",
                where="dataset.locations.box_size, dataset.images.channels",
                remedy="use the box size and the channels that the network was trained with",
            )
        features = np.empty((len(crops), self.dimension), np.float32)
        start = 0
        while start < len(crops):
            size = self._at_once
            batch = crops[start : start + size]
            alone = False
            try:
                with self._admitted() as alone:
                    found = self._network.predict_on_batch(self._filled(batch, size))
            except Exception as error:
                if not out_of_memory(error):
                    raise
                self._take_less(size, alone, error)
                continue
            features[start : start + len(batch)] = found[: len(batch)]
            start += len(batch)
        return features

    def _filled(self, batch: np.ndarray, size: int) -> np.ndarray:
        """The batch at its constant size: another size would compile again and might round differently."""
        if len(batch) == size:
            return np.asarray(batch, np.float32)
        filled = np.zeros((size, *self._crop_shape), np.float32)
        filled[: len(batch)] = batch
        return filled

    @contextmanager
    def _admitted(self) -> Iterator[bool]:
        """Wait until there is a place in the network; whether it is the only one."""
        with self._door:
            self._door.wait_for(lambda: self._inside < self._most_inside)
            self._inside += 1
            alone = self._most_inside == 1
        try:
            yield alone
        finally:
            with self._door:
                self._inside -= 1
                self._door.notify_all()

    def _take_less(self, size: int, alone: bool, error: Exception) -> None:
        """One batch at a time from now on, then half as many crops. ModelError when one crop is too many."""
        if not alone:
            self._most_inside = 1
            logger.warning("two batches do not fit into the device's memory; going on with one at a time")
            return
        if size == 1:
            raise ModelError(
                "the device's memory does not hold the network and one crop",
                where="profile.batch_size",
                remedy="stop what else uses the device, or profile on another one (or on the CPU)",
            ) from error
        # Another thread may have halved it already.
        self._at_once = min(self._at_once, size // 2)
        logger.warning(
            "%d crops at once do not fit into the device's memory; going on with %d. The last digits of "
            "features may depend on that. A smaller profile.batch_size fits at once, but makes all features "
            "again.",
            size,
            self._at_once,
        )


def _after(front: keras.Model, network: keras.Model) -> keras.Model:
    """`network` on what `front` makes of crops."""
    made, taken = tuple(front.output_shape[1:]), tuple(network.inputs[0].shape[1:])
    if made != taken:
        raise ModelError(
            f"the network takes images (rows, cols, channels) of {taken}; each channel alone gives {made}",
            where="train.model.crop_generator",
            remedy="repeat_channel_crop_generator needs a network of three channels; use another generator",
        )
    return keras.Model(front.input, network(front.output))


def _find_layer(model: keras.Model, name: str) -> keras.layers.Layer:
    names = [layer.name for layer in model.layers]
    if name in names:
        return model.get_layer(name)
    nearest = difflib.get_close_matches(name, names, n=SHOWN_LAYERS, cutoff=0.5) or names[-SHOWN_LAYERS:]
    raise ModelError(
        f"the network {model.name!r} has no layer {name!r}",
        where="profile.feature_layer",
        remedy=f"use a layer of the network, for example: {', '.join(nearest)}",
    )


def _pooled(output: keras.KerasTensor) -> keras.KerasTensor:
    """Float32 (cells, features): the mean over whatever lies between the first and the last axis."""
    # Cast before the mean: sums of half-precision maps would lose the small differences between cells.
    output = keras.ops.cast(output, "float32")
    axes = tuple(range(1, len(output.shape) - 1))
    return keras.ops.mean(output, axis=axes) if axes else output
