"""Metrics against Keras' and scikit-learn's."""

import logging
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.metrics import precision_score, top_k_accuracy_score  # type: ignore[import-untyped]

from dp_assets.config.errors import ModelError
from dp_assets.training.metrics import AverageClassPrecision, reconstruction_metrics, training_metrics

CLASSES = 4


def predictions(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One-hot labels and probabilities that are right about half the time; class 3 is never predicted."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, n)
    logits = generator.normal(size=(n, CLASSES)) * 2
    logits[np.arange(n), labels] += 2
    logits[:, 3] -= 20
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return np.eye(CLASSES, dtype=np.float32)[labels], probabilities.astype(np.float32)


def test_average_class_precision_counts_over_all_batches() -> None:
    labels, probabilities = predictions()
    metric = AverageClassPrecision(CLASSES)
    for start in range(0, len(labels), 33):
        metric.update_state(labels[start : start + 33], probabilities[start : start + 33])

    each = [keras.metrics.Precision(class_id=c) for c in range(CLASSES)]
    expected = np.mean([float(precision(labels, probabilities)) for precision in each])
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    confident = probabilities > 0.5
    assert float(metric.result()) == pytest.approx(
        precision_score(labels, confident, average="macro", zero_division=0), rel=1e-6
    )
    metric.reset_state()
    assert float(metric.result()) == 0


def test_average_class_precision_survives_its_configuration() -> None:
    metric = AverageClassPrecision(CLASSES)
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert copy.get_config() == metric.get_config()


def test_handbook_names() -> None:
    labels, probabilities = predictions()
    metrics = training_metrics(
        ["accuracy", "top_k", "average_class_precision", "accuracy"], classes=CLASSES, top_k=2
    )
    assert [metric.name for metric in metrics] == ["accuracy", "top_k", "average_class_precision"]
    accuracy, top_k, _ = (float(metric(labels, probabilities)) for metric in metrics)
    truth = labels.argmax(axis=1)
    assert accuracy == pytest.approx(np.mean(probabilities.argmax(axis=1) == truth), rel=1e-6)
    assert top_k == pytest.approx(
        top_k_accuracy_score(truth, probabilities, k=2, labels=range(CLASSES)), rel=1e-6
    )


def test_top_k_above_the_number_of_classes() -> None:
    (metric,) = training_metrics(["top_k"], classes=3, top_k=5)
    assert float(metric(np.eye(3, dtype="float32"), np.eye(3, dtype="float32")[::-1])) == 1


@pytest.mark.parametrize("name", ["Precision", "AUC", "categorical_crossentropy", "cosine_similarity"])
def test_keras_metrics_keep_the_name_of_the_configuration(name: str) -> None:
    labels, probabilities = predictions()
    for _ in range(2):
        (metric,) = training_metrics([name], classes=CLASSES, top_k=5)
        assert metric.name == name
        assert np.isfinite(float(metric(labels, probabilities)))


def test_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"'acuracy' is no metric \(did you mean 'accuracy'"):
        training_metrics(["acuracy"], classes=3, top_k=5)


@pytest.mark.parametrize("name", ["sparse_categorical_accuracy", "F1Score"])
def test_metric_for_another_task(name: str) -> None:
    with pytest.raises(ModelError, match=f"'{name}' cannot judge one-hot labels"):
        training_metrics([name], classes=3, top_k=5)


def certainty(classes: int) -> keras.metrics.Metric:
    """A metric as a plugin makes it, without a name."""
    return keras.metrics.MeanMetricWrapper(lambda _, said: keras.ops.max(said, axis=-1) * classes)


def test_metrics_of_plugins_carry_the_name_of_the_configuration() -> None:
    labels, probabilities = predictions()
    (metric,) = training_metrics(["certainty"], classes=CLASSES, top_k=5, plugins={"certainty": certainty})
    assert metric.name == "certainty"
    assert float(metric(labels, probabilities)) == pytest.approx(
        CLASSES * probabilities.max(axis=1).mean(), rel=1e-5
    )


def test_a_plugin_cannot_take_a_name_of_the_handbook() -> None:
    (metric,) = training_metrics(["accuracy"], classes=CLASSES, top_k=5, plugins={"accuracy": certainty})
    assert isinstance(metric, keras.metrics.CategoricalAccuracy)


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (lambda _: 1 / 0, "plugin 'mine': the plugin failed: division by zero"),
        (lambda _: "accuracy", "the plugin made a str; expected a keras.metrics.Metric"),
        (lambda _: keras.metrics.SparseTopKCategoricalAccuracy(), "'mine' cannot judge one-hot labels"),
    ],
    ids=["fails", "text", "unfit"],
)
def test_plugins_that_make_no_metric(plugin: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        training_metrics(["mine"], classes=3, top_k=5, plugins={"mine": plugin})


@pytest.mark.parametrize(
    ("asked", "measured", "left_out"),
    [
        (["accuracy"], ["mse", "mae"], "accuracy"),
        (["mae", "top_k", "mae", "mine"], ["mae"], "top_k, mine"),
        (["cosine_similarity", "RootMeanSquaredError"], ["cosine_similarity", "RootMeanSquaredError"], None),
    ],
)
def test_crops_are_compared_with_crops(
    caplog: pytest.LogCaptureFixture, asked: list[str], measured: list[str], left_out: str | None
) -> None:
    with caplog.at_level(logging.WARNING):
        metrics = reconstruction_metrics(asked)
    assert [metric.name for metric in metrics] == measured
    assert (f"so {left_out} cannot be measured" in caplog.text) == (left_out is not None)
    crops, made = np.random.default_rng(0).random((2, 3, 4, 4, 1), np.float32)
    values = {metric.name: float(metric(crops, made)) for metric in metrics}
    expected = {
        "mse": np.mean((crops - made) ** 2),
        "mae": np.mean(np.abs(crops - made)),
        "RootMeanSquaredError": np.sqrt(np.mean((crops - made) ** 2)),
    }
    for name in values.keys() & expected.keys():
        assert values[name] == pytest.approx(expected[name], rel=1e-5)
