"""Driving Keras callbacks over a training whose epochs are fitted one by one."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from dp_assets.config.errors import ModelError
from dp_assets.training.resume_state import EpochLog

# Told again what it was told before the run was killed, it would post finished epochs twice.
NOT_REPLAYED = ("RemoteMonitor",)
BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")


class ConfiguredCallback:
    """A callback and its place in the configuration. What it raises names that place."""

    def __init__(self, callback: keras.callbacks.Callback, name: str, where: str) -> None:
        self.callback = callback
        self.name = name
        self.where = where

    def call(self, method: str, *arguments: Any) -> None:
        try:
            with warnings.catch_warnings():
                # Not every epoch is validated (train.validation.frequency); Keras would warn at each.
                warnings.filterwarnings("ignore", message=".*conditioned on metric.*")
                getattr(self.callback, method)(*arguments)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"the callback {self.name!r} failed: {error}",
                where=self.where,
                remedy="check its arguments, or take it out; finished epochs are kept",
            ) from error

    def looks_at_batches(self) -> bool:
        own, base = type(self.callback), keras.callbacks.Callback
        return any(getattr(own, hook) is not getattr(base, hook) for hook in BATCH_HOOKS)


class TrainingCallbacks:
    """The callbacks of a training, as one.

    Parameters
    ----------
    callbacks : as build_callbacks makes them.
    """

    def __init__(self, callbacks: Sequence[ConfiguredCallback]) -> None:
        self._callbacks = tuple(callbacks)

    def begin(self, model: keras.Model, epochs: int, history: Sequence[EpochLog]) -> None:
        """Begin a training, or go on with one: finished epochs are told again, so that patience is right."""
        model.stop_training = False
        for callback in self._callbacks:
            callback.call("set_model", model)
            callback.call("set_params", {"epochs": epochs, "steps": None, "verbose": 0})
            callback.call("on_train_begin", {})
        for epoch, entry in enumerate(history):
            for callback in self._callbacks:
                if callback.name not in NOT_REPLAYED:
                    callback.call("on_epoch_begin", epoch, {})
                    callback.call("on_epoch_end", epoch, measured(entry))
        model.stop_training = False

    def begin_epoch(self, epoch: int) -> None:
        """Tell that a 0-based epoch begins."""
        for callback in self._callbacks:
            callback.call("on_epoch_begin", epoch, {})

    def during_epoch(self) -> list[keras.callbacks.Callback]:
        """What to give to `fit`: it passes on batches, to callbacks that look at batches."""
        return [_Batches(callback) for callback in self._callbacks if callback.looks_at_batches()]

    def end_epoch(self, epoch: int, entry: EpochLog) -> None:
        """Tell what a 0-based epoch brought. Whether to stop is `stop_training` of the model, as in Keras."""
        for callback in self._callbacks:
            callback.call("on_epoch_end", epoch, measured(entry))

    def end(self) -> None:
        """Tell that the training is over."""
        for callback in self._callbacks:
            callback.call("on_train_end", {})


def measured(entry: EpochLog) -> dict[str, float]:
    """Loss, metrics and val_* of an epoch's log entry: what Keras would show to callbacks."""
    outside = ("epoch", "learning_rate", "seconds")
    return {name: value for name, value in entry.items() if name not in outside and value is not None}


class _Batches(keras.callbacks.Callback):
    """Passes on the batches of an epoch's own `fit`, and nothing else of it."""

    def __init__(self, target: ConfiguredCallback) -> None:
        super().__init__()
        self._target = target

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._target.call("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._target.call("on_train_batch_end", batch, logs)
