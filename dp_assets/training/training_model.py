"""The model that is fitted: normalisation, augmentation and the network, and what is compared with what."""

from collections.abc import Sequence
from typing import Any

import keras

from dp_assets.imaging.normalization import Normalization
from dp_assets.networks.crop_normalization import CropNormalization
from dp_assets.training.targets import Goal

Tensor = Any


class TrainingModel(keras.Model):
    """A network in training.

    - Classes: predictions are compared with the labels.
    - Online labels: targets are (hard, soft); the loss is taken against the soft ones, metrics against the
      hard ones.
    - Reconstruction: the outputs are (what the network saw, what it made of it), and these are compared. The
      crop of the batch itself is not what the network saw when crops are augmented.

    Parameters
    ----------
    inputs, outputs : of the functional model.
    goal : what the network learns.
    """

    def __init__(self, inputs: Tensor, outputs: Tensor, *, goal: Goal, name: str) -> None:
        super().__init__(inputs, outputs, name=name)
        self.goal = goal

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """The loss of a batch, with the regularisation of the layers."""
        if self.goal is Goal.ONLINE_LABELS:
            y = y[1]
        elif self.goal is Goal.RECONSTRUCTION:
            y, y_pred = y_pred
        return super().compute_loss(x, y, y_pred, sample_weight, training=training)

    def compute_metrics(
        self, x: Tensor, y: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> dict[str, Tensor]:
        """Loss and metrics so far."""
        if self.goal is Goal.ONLINE_LABELS:
            y = y[0]
        elif self.goal is Goal.RECONSTRUCTION:
            y, y_pred = y_pred
        return super().compute_metrics(x, y, y_pred, sample_weight)


def training_model(
    network: keras.Model,
    shape: tuple[int, int, int],
    normalization: Normalization,
    augmentation: keras.layers.Layer | None,
    goal: Goal,
) -> TrainingModel:
    """Normalisation, augmentation (active in training only) and the network in one model; not compiled.

    Parameters
    ----------
    network : from normalised crops (cells, rows, cols, channels).
    shape : (rows, cols, channels) of the crops; a network may take any size.
    normalization : what is to be done to the crops of the batches.
    augmentation : from normalised crops to such; None for none.
    goal : what the network learns.

    Returns
    -------
    A model of crops (cells, rows, cols, channels) in grey levels of any number type, which become float32 on
    the device. With normalization "plate" it takes (crops, ranges (cells, 2, channels)). Outputs of several
    heads are named `head_0`, `head_1`, ..., whatever their layers are called.
    """
    # Keras takes inputs of other types too and casts them inside the step, after they came to the device.
    inputs = keras.Input(shape, dtype="float32", name="crops")
    normalize = CropNormalization(normalization, name="normalization")
    if normalization == "plate":
        ranges = keras.Input((2, shape[-1]), dtype="float32", name="ranges")
        crops, inputs = normalize(inputs, ranges), (inputs, ranges)
    else:
        crops = normalize(inputs)
    if augmentation is not None:
        crops = augmentation(crops)
    made = network(crops)
    outputs = made
    if goal is Goal.RECONSTRUCTION:
        outputs = [keras.layers.Identity(name="seen")(crops), made]
    elif isinstance(made, (list, tuple)):
        outputs = _named(made)
    return TrainingModel(inputs, outputs, goal=goal, name=f"{network.name}_in_training")


def head_output(number: int) -> str:
    """Name of the output of a head, counted from 0, in a model of several heads."""
    return f"head_{number}"


def _named(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs under names of their own: those of a nested network would all be called like it."""
    return [
        keras.layers.Identity(name=head_output(number), dtype="float32")(output)
        for number, output in enumerate(outputs)
    ]
