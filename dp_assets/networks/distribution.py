"""Training one network on several devices: each has the weights and takes an equal part of every batch.

The only module that knows how a framework does this. What is built, restored and fitted inside `shared_by` is
spread over the devices; loss, gradients and metrics are those of the whole batch.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from dp_assets.config.errors import DeviceError


@contextmanager
def shared_by(devices: int) -> Iterator[None]:
    """Whatever network is built here is trained by so many devices; nothing happens for one.

    Every batch must be a multiple of their number. Batch normalization looks at the part of one device, and
    random layers draw alike on all of them.

    Parameters
    ----------
    devices : how many; the first ones of those that the process was set up with (`configure_accelerator`).

    Raises
    ------
    DeviceError : the process was set up with fewer.
    """
    if devices == 1:
        yield
        return
    spread = _spread_by_jax if keras.backend.backend() == "jax" else _spread_by_tensorflow
    with spread(devices):
        yield


def whole_batches(rows: np.ndarray, devices: int) -> np.ndarray:
    """The rows without those at the end that would not be shared evenly by the devices."""
    return rows[: len(rows) - len(rows) % devices]


def repeated_evenly(rows: np.ndarray, devices: int) -> np.ndarray:
    """The rows, each as often as is needed for the devices to share them evenly: once where they can."""
    return np.repeat(rows, devices // math.gcd(len(rows), devices))


def filled_up(shown: Any, devices: int) -> Any:
    """Crops, and black ones at the end until the devices can share them evenly.

    Parameters
    ----------
    shown : an array with one entry a cell, or a tuple of such arrays; all get zeros at the end.
    """

    def longer(array: np.ndarray) -> np.ndarray:
        missing = -len(array) % devices
        return np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) if missing else array

    return keras.tree.map_structure(longer, shown)


@contextmanager
def _spread_by_tensorflow(devices: int) -> Iterator[None]:
    import tensorflow as tf

    there = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    _require(len(there), devices)
    with tf.distribute.MirroredStrategy([device.name for device in there[:devices]]).scope():
        yield


@contextmanager
def _spread_by_jax(devices: int) -> Iterator[None]:
    there = keras.distribution.list_devices()
    _require(len(there), devices)
    # The feed gives whole batches to this one process; there is nothing to divide among hosts.
    parallel = keras.distribution.DataParallel(devices=there[:devices], auto_shard_dataset=False)
    with parallel.scope():
        yield


def _require(there: int, wanted: int) -> None:
    if there < wanted:
        raise DeviceError(
            f"the training asks for {wanted} devices, and this process was set up with {there}",
            where="train.model.devices",
            remedy="run the training in a process of its own, with as many devices, or use fewer",
        )
