"""The network that is trained, and the model around it: augmentation, loss, optimizer, metrics."""

from dataclasses import dataclass

import keras

from dp_assets.config.stages import TrainingSettings
from dp_assets.networks.augmentation import CropAugmentation, augmentation_pipeline
from dp_assets.networks.registry import (
    NetworkRequest,
    always_augments,
    build_network,
    optimizer_for,
    uses_label_smoothing,
)
from dp_assets.training.metrics import training_metrics
from dp_assets.training.randomness import reseed


@dataclass(frozen=True)
class Trainee:
    """A network in training.

    Attributes
    ----------
    network : from normalised crops (cells, rows, cols, channels) to class probabilities (cells, classes).
    model : the compiled model that is fitted; `network` with the augmentation before it.
    augmentation : active in training only; None when the configuration does without.
    """

    network: keras.Model
    model: keras.Model
    augmentation: CropAugmentation | None

    def begin_epoch(self, epoch: int, learning_rate: float, seed: int) -> None:
        """Prepare a 0-based epoch: its learning rate, and random draws that depend on seed and epoch only."""
        self.model.optimizer.learning_rate = learning_rate
        reseed(self.network, seed, epoch)
        if self.augmentation is not None:
            self.augmentation.reseed(epoch)


def assemble(
    settings: TrainingSettings,
    *,
    classes: int,
    shape: tuple[int, int, int],
    dtype_policy: str,
    xla: bool,
    fresh: bool,
) -> Trainee:
    """Build and compile the network that the configuration asks for.

    Parameters
    ----------
    classes : number of classes.
    shape : (rows, cols, channels) of a crop.
    dtype_policy : Keras dtype policy of the network's layers.
    xla : compile the training step with XLA.
    fresh : whether training starts here; when it resumes, published initial weights are not fetched again.

    Raises
    ------
    ModelError : a network or metric that is not available.
    """
    wanted = settings.network
    network = build_network(
        NetworkRequest(
            name=wanted.name,
            input_shape=shape,
            classes=classes,
            conv_blocks=wanted.params.conv_blocks,
            feature_dim=wanted.params.feature_dim,
            target=settings.partition.targets[0],
            dtype_policy=dtype_policy,
            initialization=wanted.initialization if fresh else "random",
            seed=wanted.seed,
        )
    )
    augments = wanted.augmentations or always_augments(wanted.name)
    augmentation = augmentation_pipeline(wanted.seed) if augments else None
    model = _with_augmentation(network, augmentation)
    optimizer = optimizer_for(wanted.name, wanted.params.learning_rate)
    if dtype_policy == "mixed_float16":
        # Keras does this by itself only when the outermost model has the policy; ours is set layer by layer.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    smoothing = wanted.params.label_smoothing if uses_label_smoothing(wanted.name) else 0.0
    model.compile(
        optimizer,
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=smoothing),
        metrics=training_metrics(wanted.metrics, classes=classes, top_k=settings.validation.top_k),
        # JAX without compilation runs operation by operation.
        jit_compile=xla or keras.backend.backend() == "jax",
        auto_scale_loss=False,
    )
    return Trainee(network, model, augmentation)


def _with_augmentation(network: keras.Model, augmentation: CropAugmentation | None) -> keras.Model:
    inputs = keras.Input(network.input_shape[1:], dtype="float32", name="crops")
    crops = inputs if augmentation is None else augmentation(inputs)
    return keras.Model(inputs, network(crops), name=f"{network.name}_in_training")
