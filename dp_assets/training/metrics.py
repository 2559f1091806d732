"""What is measured while training, by the names that configurations use."""

import logging
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches

import keras
import numpy as np

from dp_assets.config.errors import ModelError

logger = logging.getLogger(__name__)

MetricFactory = Callable[[int], keras.metrics.Metric]
"""Makes a metric from the number of classes: what a metric plugin is."""

OWN_METRICS = ("accuracy", "acc", "top_k", "average_class_precision")
"""Names of this package, which neither plugins nor Keras have a say in."""
RECONSTRUCTION_METRICS = ("mse", "mae")
"""What is measured of a network that reconstructs crops, where the configuration names nothing that fits."""
OF_NUMBERS = (
    keras.metrics.MeanSquaredError,
    keras.metrics.RootMeanSquaredError,
    keras.metrics.MeanAbsoluteError,
    keras.metrics.MeanAbsolutePercentageError,
    keras.metrics.MeanSquaredLogarithmicError,
    keras.metrics.CosineSimilarity,
    keras.metrics.LogCoshError,
)


@keras.saving.register_keras_serializable(package="dp_assets")
class AverageClassPrecision(keras.metrics.Metric):
    """Mean over the classes of their precision, counted over the whole epoch.

    A cell is taken for a class when that class's probability is above 0.5; a class that no cell is taken for
    has precision 0. Source: DeepProfiler, `average_class_precision` (which restarted its counts with each
    batch).

    Parameters
    ----------
    classes : number of classes.
    """

    threshold = 0.5

    def __init__(self, classes: int, name: str = "average_class_precision", dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.classes = classes
        # Whole numbers: float32 would stop counting at 2^24 cells.
        self.right = self.add_variable((classes,), initializer="zeros", dtype="int32", name="right")
        self.taken = self.add_variable((classes,), initializer="zeros", dtype="int32", name="taken")

    def update_state(
        self,
        y_true: keras.KerasTensor,
        y_pred: keras.KerasTensor,
        sample_weight: keras.KerasTensor | None = None,
    ) -> None:
        """Count a batch: `y_true` one-hot (n, classes), `y_pred` probabilities (n, classes)."""
        if sample_weight is not None:
            raise ValueError("average_class_precision counts cells; weights have no meaning for it.")
        taken = keras.ops.cast(y_pred, "float32") > self.threshold
        right = keras.ops.logical_and(taken, keras.ops.cast(y_true, "float32") > self.threshold)
        self.taken.assign_add(keras.ops.sum(keras.ops.cast(taken, "int32"), axis=0))
        self.right.assign_add(keras.ops.sum(keras.ops.cast(right, "int32"), axis=0))

    def result(self) -> keras.KerasTensor:
        """The mean precision, in [0, 1]."""
        right = keras.ops.cast(self.right, "float32")
        taken = keras.ops.cast(keras.ops.maximum(self.taken, 1), "float32")
        return keras.ops.mean(right / taken)

    def get_config(self) -> dict[str, object]:
        """What makes an equal metric."""
        return {"classes": self.classes, "name": self.name, "dtype": self.dtype}


def training_metrics(
    names: Sequence[str],
    *,
    classes: int,
    top_k: int,
    plugins: Mapping[str, MetricFactory] | None = None,
) -> list[keras.metrics.Metric]:
    """The metrics with these names, for one-hot labels and class probabilities.

    Parameters
    ----------
    names : `accuracy`, `top_k`, `average_class_precision`, the name of a plugin, or any Keras metric. Source:
        handbook, `train.model.metrics`. Repeated names count once.
    classes : number of classes.
    top_k : k of `top_k` (`train.validation.top_k`).
    plugins : metrics that plugins add: functions from the number of classes to a Keras metric.

    Raises
    ------
    ModelError : a name that stands for nothing, or for something that cannot judge a classifier.
    """
    known: dict[str, MetricFactory] = {
        "accuracy": lambda _: keras.metrics.CategoricalAccuracy(name="accuracy"),
        "top_k": lambda _: keras.metrics.TopKCategoricalAccuracy(k=min(top_k, classes), name="top_k"),
        "average_class_precision": AverageClassPrecision,
    }
    known["acc"] = known["accuracy"]
    plugins = plugins or {}
    metrics = []
    for name in dict.fromkeys(names):
        if name in known:
            metric = known[name](classes)
        elif name in plugins:
            metric = _plugin_metric(name, plugins[name], classes)
        else:
            metric = _keras_metric(name, (*known, *plugins))
        metrics.append(_tried(metric, name, classes))
    return metrics


def reconstruction_metrics(names: Sequence[str]) -> list[keras.metrics.Metric]:
    """The metrics with these names that compare crops with crops; those that judge classes are left out.

    Published configurations of autoencoders ask for `accuracy`. What is left out is logged; where nothing is
    left, the mean squared and the mean absolute error are measured.
    """
    fitting = [name for name in dict.fromkeys(names) if _compares_numbers(name)]
    unfit = [name for name in dict.fromkeys(names) if name not in fitting]
    measured = tuple(fitting) or RECONSTRUCTION_METRICS
    if unfit:
        logger.warning(
            "train.model.metrics: the network reconstructs its input and knows no classes, so %s cannot be "
            "measured; measuring %s",
            ", ".join(unfit),
            ", ".join(measured),
        )
    return [_keras_metric(name, RECONSTRUCTION_METRICS) for name in measured]


def _compares_numbers(name: str) -> bool:
    try:
        found = keras.metrics.get(name)
    except (ValueError, TypeError):
        return False
    return isinstance(found, OF_NUMBERS)


def _plugin_metric(name: str, factory: MetricFactory, classes: int) -> keras.metrics.Metric:
    """The metric that a plugin makes, under the name that the configuration uses."""
    where = f"train.model.metrics: plugin {name!r}"
    try:
        metric = factory(classes)
    except Exception as error:  # whatever a plugin raises is the plugin's fault
        raise ModelError(
            f"the plugin failed: {error}", where=where, remedy="repair the plugin, or take the metric out"
        ) from error
    if not isinstance(metric, keras.metrics.Metric):
        raise ModelError(
            f"the plugin made a {type(metric).__name__}; expected a keras.metrics.Metric",
            where=where,
            remedy="let the plugin be a function from the number of classes to a Keras metric",
        )
    metric.name = name
    return metric


def _keras_metric(name: str, known: tuple[str, ...]) -> keras.metrics.Metric:
    if "sparse" in name.lower():
        # Given one-hot labels these compute something else without complaint.
        raise _unfit(name, "it takes class numbers")
    try:
        found = keras.metrics.get(name)
    except (ValueError, TypeError) as error:
        raise _unknown(name, known) from error
    if isinstance(found, keras.metrics.Metric):
        # Keras numbers unnamed metrics within a process (precision, precision_1); the log needs one name.
        return type(found).from_config({**found.get_config(), "name": name})
    if callable(found):
        return keras.metrics.MeanMetricWrapper(found, name=name)
    raise _unknown(name, known)


def _unknown(name: str, known: tuple[str, ...]) -> ModelError:
    near = get_close_matches(name, known, n=1)
    return ModelError(
        f"{name!r} is no metric" + (f" (did you mean {near[0]!r}?)" if near else ""),
        where="train.model.metrics",
        remedy=f"use {', '.join(known)}, or the name of a Keras metric such as categorical_crossentropy",
    )


def _tried(metric: keras.metrics.Metric, name: str, classes: int) -> keras.metrics.Metric:
    """The metric, after it has judged a perfect prediction: one made for other tasks fails here already."""
    perfect = np.eye(classes, dtype=np.float32)
    try:
        metric.update_state(perfect, perfect)
        scalar = np.ndim(metric.result()) == 0
    except Exception as error:
        raise _unfit(name, str(error).splitlines()[0]) from error
    if not scalar:
        raise _unfit(name, "its result is not one number")
    metric.reset_state()
    return metric


def _unfit(name: str, reason: str) -> ModelError:
    return ModelError(
        f"the metric {name!r} cannot judge one-hot labels and class probabilities ({reason})",
        where="train.model.metrics",
        remedy="take it out, or use the categorical metric of the same family",
    )
