"""Losses and metrics of the model that is fitted, against numpy."""

from typing import Any

import keras
import numpy as np
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.training.assembly import Trainee, assemble
from dp_assets.training.targets import Goal
from dp_assets_tests.training.synthetic import CLASSES, HEADS, training_settings

TWO_HEADS = (*HEADS, ("Dose", ("low", "high")))
CROPS = np.random.default_rng(0).random((6, 12, 12, 2), np.float32)
FIRST = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 1]]
SECOND = np.eye(2, dtype=np.float32)[[0, 1, 1, 1, 0, 1]]


def built(heads: Any = HEADS, goal: Goal = Goal.CLASSES, **settings: Any) -> Trainee:
    return assemble(
        training_settings(**settings),
        heads=heads,
        goal=goal,
        shape=(12, 12, 2),
        normalization="none",
        dtype_policy="float32",
        xla=False,
        published_weights=True,
    )


def cross_entropy(truth: np.ndarray, probabilities: np.ndarray) -> float:
    return float(-np.mean(np.sum(truth * np.log(probabilities), axis=1)))


def evaluated(trainee: Trainee, target: Any) -> dict[str, float]:
    return trainee.named(trainee.model.test_on_batch(CROPS, target, return_dict=True))


def test_the_losses_of_all_heads_are_added() -> None:
    trainee = built(TWO_HEADS, metrics=["accuracy", "top_k"], validation={"top_k": 1})
    first, second = trainee.network.predict_on_batch(CROPS)
    values = evaluated(trainee, (FIRST, SECOND))

    each = cross_entropy(FIRST, first), cross_entropy(SECOND, second)
    assert values["loss"] == pytest.approx(sum(each), rel=1e-5)
    assert (values["Treatment_loss"], values["Dose_loss"]) == pytest.approx(each, rel=1e-5)
    right = [np.mean(p.argmax(1) == t.argmax(1)) for p, t in ((first, FIRST), (second, SECOND))]
    assert (values["accuracy"], values["Dose_accuracy"]) == pytest.approx(right)
    assert (values["top_k"], values["Dose_top_k"]) == pytest.approx(right)
    assert len(values) == 7
    assert set(values) == set(trainee.log_names.values())


def test_columns_whose_measurements_could_not_be_told_apart() -> None:
    with pytest.raises(ModelError, match=r"'val' would give two measurements the name 'val_accuracy'"):
        built((*HEADS, ("val", ("low", "high"))), metrics=["accuracy"])


def test_online_labels_are_learnt_from_soft_and_judged_by_hard_labels() -> None:
    trainee = built(goal=Goal.ONLINE_LABELS, name="cnn", params={"label_smoothing": 0.5})
    probabilities = trainee.network.predict_on_batch(CROPS)
    # soft labels that say something else than the hard ones
    soft = np.roll(FIRST, 1, axis=1) * 0.8 + 0.2 / 3
    values = evaluated(trainee, (FIRST, soft))
    assert values["loss"] == pytest.approx(cross_entropy(soft, probabilities), rel=1e-5)
    assert values["accuracy"] == pytest.approx(np.mean(probabilities.argmax(1) == FIRST.argmax(1)))


@pytest.fixture
def smoothing_cnn(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cnn` as if label smoothing applied to it."""
    monkeypatch.setattr("dp_assets.training.assembly.uses_label_smoothing", lambda _: True)


@pytest.mark.usefixtures("smoothing_cnn")
@pytest.mark.parametrize(("goal", "applied"), [(Goal.CLASSES, 0.3), (Goal.ONLINE_LABELS, 0.0)])
def test_online_labels_are_not_smoothed_twice(goal: Goal, applied: float) -> None:
    trainee = built(goal=goal, params={"label_smoothing": 0.3})
    probabilities = trainee.network.predict_on_batch(CROPS)
    values = evaluated(trainee, FIRST if goal is Goal.CLASSES else (FIRST, FIRST))
    smoothed = FIRST * (1 - applied) + applied / len(CLASSES)
    assert values["loss"] == pytest.approx(cross_entropy(smoothed, probabilities), rel=1e-5)


class Darker(keras.layers.Layer):
    """An augmentation that can be foreseen."""

    def call(self, crops: Any, training: bool | None = None) -> Any:
        return crops * 0.5 if training else crops

    def reseed(self, epoch: int) -> None:
        pass


def test_reconstruction_is_compared_with_what_the_network_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dp_assets.training.assembly.augmentation_pipeline", lambda _: Darker())
    trainee = built(goal=Goal.RECONSTRUCTION, name="autoencoder", augmentations=True)
    made = trainee.network.predict_on_batch(CROPS)
    assert made.shape == CROPS.shape
    values = evaluated(trainee, CROPS)
    assert values["loss"] == pytest.approx(np.mean((made - CROPS) ** 2), rel=1e-5)
    assert values["mse"] == pytest.approx(values["loss"], rel=1e-5)
    assert values["mae"] == pytest.approx(np.mean(np.abs(made - CROPS)), rel=1e-5)

    darker = trainee.network(CROPS * np.float32(0.5), training=True)
    in_training = trainee.model.train_on_batch(CROPS, CROPS, return_dict=True)
    assert in_training["loss"] == pytest.approx(np.mean((np.asarray(darker) - CROPS * 0.5) ** 2), rel=1e-4)
