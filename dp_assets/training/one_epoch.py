"""One epoch: fit, validate, and notice when it went wrong."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from dp_assets.config.errors import DeviceError, ModelError
from dp_assets.networks.device_memory import out_of_memory
from dp_assets.networks.distribution import filled_up
from dp_assets.training.assembly import Trainee
from dp_assets.training.cells import LabelledCells
from dp_assets.training.feed import BatchTransform, CropFeed
from dp_assets.training.targets import BatchTargets


@dataclass(frozen=True)
class Draw:
    """Cells to show to the network, in batches.

    Attributes
    ----------
    cells : where they come from.
    rows : int64 (n,), which of them, in order.
    targets : what the network is to say to each.
    batch_size : cells in a batch.
    workers : threads that read.
    transform : changes the crops of every batch; None leaves them.
    """

    cells: LabelledCells
    rows: np.ndarray
    targets: BatchTargets
    batch_size: int
    workers: int
    transform: BatchTransform | None = None

    def feed(self) -> CropFeed:
        """The batches of these cells."""
        return CropFeed(
            self.cells,
            self.rows,
            targets=self.targets,
            batch_size=self.batch_size,
            workers=self.workers,
            transform=self.transform,
        )


class StopAtInfinity(keras.callbacks.Callback):
    """Stops training at the first batch after which the mean loss of the epoch is not a finite number."""

    # Keras then looks at the loss in a thread of its own, and the training step does not wait for it.
    async_safe = True

    def __init__(self) -> None:
        super().__init__()
        self.step: int | None = None

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the loss of a batch."""
        if self.step is None and logs and not math.isfinite(logs["loss"]):
            self.step = batch + 1
            self.model.stop_training = True


def fit_epoch(
    trainee: Trainee, draw: Draw, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> dict[str, float]:
    """Show the cells of one epoch to the network and adapt its weights.

    Parameters
    ----------
    callbacks : are told of every batch.

    Returns
    -------
    Loss and metrics by name, means over the epoch.

    Raises
    ------
    ModelError : the loss or a weight became infinite or not a number.
    DeviceError : the device has not enough memory.
    Whatever the crop source raises comes out unchanged.
    """
    guard = StopAtInfinity()
    with draw.feed() as feed:
        try:
            # Keras would shuffle the batches with Python's own generator, differently in every process.
            logs = trainee.model.fit(feed, shuffle=False, verbose=0, callbacks=[guard, *callbacks]).history
        except Exception as error:
            raise _cause(error, feed) from (None if feed.failure else error)
    rate = trainee.learning_rate
    if guard.step is not None:
        raise _diverged(f"the loss became infinite or not a number at step {guard.step} of {len(feed)}", rate)
    if not all(np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in trainee.network.weights):
        raise _diverged("weights of the network became infinite or not a number", rate)
    return trainee.named({name: values[-1] for name, values in logs.items()})


def validate(trainee: Trainee, draw: Draw) -> dict[str, float]:
    """Loss and metrics of the network on cells it does not learn from, named val_loss and so on.

    Raises
    ------
    As fit_epoch.
    """
    with draw.feed() as feed:
        try:
            logs = trainee.model.evaluate(feed, return_dict=True, verbose=0)
        except Exception as error:
            raise _cause(error, feed) from (None if feed.failure else error)
    if not math.isfinite(logs["loss"]):
        raise _diverged("the validation loss is infinite or not a number", trainee.learning_rate)
    return {f"val_{name}": value for name, value in trainee.named(logs).items()}


def predictions(trainee: Trainee, draw: Draw, devices: int = 1) -> Iterator[np.ndarray]:
    """What the network says to these cells, without augmentation: (n, classes) float32, batch by batch.

    Parameters
    ----------
    devices : that the network is spread over.

    Raises
    ------
    As fit_epoch.
    """
    with draw.feed() as feed:
        for batch in range(len(feed)):
            try:
                shown, _ = feed[batch]
                cells = len(shown[0] if isinstance(shown, tuple) else shown)
                # Some frameworks let every device answer to all crops, one after the other.
                said = trainee.model.predict_on_batch(filled_up(shown, devices))[:cells]
            except Exception as error:
                raise _cause(error, feed) from (None if feed.failure else error)
            yield said


def _cause(error: Exception, feed: CropFeed) -> Exception:
    """The error to report for one that came out of Keras."""
    if feed.failure is not None:
        return feed.failure
    if out_of_memory(error):
        rows, cols, channels = feed.crop_shape
        return DeviceError(
            f"the device has not enough memory for batches of {feed.batch_size} crops of "
            f"{rows} x {cols} pixels and {channels} channels",
            where="train.model.params.batch_size",
            remedy="lower the batch sizes of training and validation, or use mixed precision",
        )
    return error


def _diverged(what: str, rate: float) -> ModelError:
    return ModelError(
        f"{what} (learning rate {rate:g})",
        where="train.model",
        remedy="lower train.model.params.learning_rate, and check the crops for pixels that are not numbers; "
        "the epochs before are kept, and a run with the same settings goes on after them",
    )
