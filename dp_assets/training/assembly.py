"""The network that is trained, and the model around it: normalisation, augmentation, loss, optimizer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras

from dp_assets.config.errors import ModelError
from dp_assets.config.stages import TrainingSettings
from dp_assets.imaging.normalization import Normalization
from dp_assets.networks.augmentation import CropAugmentation, augmentation_pipeline
from dp_assets.networks.registry import (
    NetworkRequest,
    always_augments,
    build_network,
    optimizer_for,
    uses_label_smoothing,
)
from dp_assets.training.metrics import MetricFactory, reconstruction_metrics, training_metrics
from dp_assets.training.randomness import reseed
from dp_assets.training.targets import Goal
from dp_assets.training.training_model import TrainingModel, head_output, training_model
from dp_assets.training.training_set import Heads


@dataclass(frozen=True)
class Trainee:
    """A network in training.

    Attributes
    ----------
    network : from normalised crops (cells, rows, cols, channels) to class probabilities (cells, classes), a
        list of them for several heads, or to crops again.
    model : the compiled model that is fitted; `network` with normalisation and augmentation before it.
    augmentation : active in training only; None when the configuration does without.
    log_names : what the loss and metrics of `model` are called in the log.
    """

    network: keras.Model
    model: TrainingModel
    augmentation: CropAugmentation | None
    log_names: Mapping[str, str]

    def begin_epoch(self, epoch: int, learning_rate: float, seed: int) -> None:
        """Prepare a 0-based epoch: its learning rate, and random draws that depend on seed and epoch only."""
        self.model.optimizer.learning_rate = learning_rate
        reseed(self.network, seed, epoch)
        if self.augmentation is not None:
            self.augmentation.reseed(epoch)

    @property
    def learning_rate(self) -> float:
        """The rate in use."""
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def named(self, logs: Mapping[str, float]) -> dict[str, float]:
        """Loss and metrics under the names of the log."""
        return {self.log_names[name]: float(value) for name, value in logs.items()}


def assemble(
    settings: TrainingSettings,
    *,
    heads: Heads,
    goal: Goal,
    shape: tuple[int, int, int],
    normalization: Normalization,
    dtype_policy: str,
    xla: bool,
    published_weights: bool,
    imagenet_weights: Path | None = None,
    metric_plugins: Mapping[str, MetricFactory] | None = None,
) -> Trainee:
    """Build and compile the network that the configuration asks for.

    Parameters
    ----------
    heads : target column and class names of each head.
    goal : what the network learns.
    shape : (rows, cols, channels) of a crop.
    normalization : what is left to do to the crops that are shown; see `CropSource`.
    dtype_policy : Keras dtype policy of the network's layers.
    xla : compile the training step with XLA.
    published_weights : whether `initialization` is heeded: not where the weights come from elsewhere.
    imagenet_weights : local file with them.
    metric_plugins : metrics that plugins add.

    Raises
    ------
    ModelError : a network or metric that is not available.
    """
    wanted = settings.network
    network = _network(settings, heads, shape, dtype_policy, imagenet_weights, published_weights)
    augments = wanted.augmentations or always_augments(wanted.name)
    augmentation = augmentation_pipeline(wanted.seed) if augments else None
    model = training_model(network, shape, normalization, augmentation, goal)
    optimizer = optimizer_for(wanted.name, wanted.params.learning_rate)
    if dtype_policy == "mixed_float16":
        # Keras does this by itself only when the outermost model has the policy; ours is set layer by layer.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    metrics = _metrics(settings, heads, goal, metric_plugins or {})
    losses = _losses(settings, heads, goal)
    model.compile(
        optimizer,
        # A list of one would take the single output apart, cell by cell.
        loss=losses if len(losses) > 1 else losses[0],
        metrics=metrics if len(metrics) > 1 else metrics[0],
        # JAX without compilation runs operation by operation.
        jit_compile=xla or keras.backend.backend() == "jax",
        auto_scale_loss=False,
    )
    columns = [column for column, _ in heads] if goal is Goal.CLASSES else []
    return Trainee(network, model, augmentation, _log_names(columns, metrics))


def _network(
    settings: TrainingSettings,
    heads: Heads,
    shape: tuple[int, int, int],
    dtype_policy: str,
    imagenet_weights: Path | None,
    published_weights: bool,
) -> keras.Model:
    wanted = settings.network
    (target, classes), *more = heads
    return build_network(
        NetworkRequest(
            name=wanted.name,
            input_shape=shape,
            classes=len(classes),
            conv_blocks=wanted.params.conv_blocks,
            feature_dim=wanted.params.feature_dim,
            target=target,
            more_heads=tuple((column, len(names)) for column, names in more),
            dtype_policy=dtype_policy,
            initialization=wanted.initialization if published_weights else "random",
            imagenet_weights=imagenet_weights,
            seed=wanted.seed,
        )
    )


def _losses(settings: TrainingSettings, heads: Heads, goal: Goal) -> list[keras.losses.Loss]:
    """The loss of each head; their sum is learnt from."""
    if goal is Goal.RECONSTRUCTION:
        return [keras.losses.MeanSquaredError()]
    name, smoothing = settings.network.name, settings.network.params.label_smoothing
    if goal is Goal.ONLINE_LABELS or not uses_label_smoothing(name):
        smoothing = 0.0
    return [keras.losses.CategoricalCrossentropy(label_smoothing=smoothing) for _ in heads]


def _metrics(
    settings: TrainingSettings, heads: Heads, goal: Goal, plugins: Mapping[str, MetricFactory]
) -> list[list[keras.metrics.Metric]]:
    """The metrics of each head."""
    names = settings.network.metrics
    if goal is Goal.RECONSTRUCTION:
        return [reconstruction_metrics(names)]
    top_k = settings.validation.top_k
    return [
        training_metrics(names, classes=len(classes), top_k=top_k, plugins=plugins) for _, classes in heads
    ]


def _log_names(columns: list[str], metrics: list[list[keras.metrics.Metric]]) -> dict[str, str]:
    """What Keras calls the loss and each metric, and what the log calls them.

    Metrics of the first head keep their plain names, those of further heads are named `<column>_accuracy`.
    `loss` is the whole; with several heads each also has a `<column>_loss`.
    """
    if len(metrics) == 1:
        return {name: name for name in ("loss", *(metric.name for metric in metrics[0]))}
    names = {"loss": "loss"}
    for number, (column, of_head) in enumerate(zip(columns, metrics, strict=True)):
        output = head_output(number)
        names[f"{output}_loss"] = f"{column}_loss"
        for metric in of_head:
            names[f"{output}_{metric.name}"] = metric.name if number == 0 else f"{column}_{metric.name}"
    _refuse_ambiguous(list(names.values()), columns)
    return names


def _refuse_ambiguous(names: list[str], columns: list[str]) -> None:
    taken = [*names, *(f"val_{name}" for name in names), "epoch", "learning_rate", "seconds"]
    twice = sorted({name for name in taken if taken.count(name) > 1})
    if twice:
        raise ModelError(
            f"the columns {', '.join(map(repr, columns))} would give two measurements the name {twice[0]!r}",
            where="train.partition.targets",
            remedy="rename one of the columns in the image index",
        )
