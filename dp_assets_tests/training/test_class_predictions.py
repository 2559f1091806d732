"""Predictions of small networks whose answers are known beforehand."""

import keras
import numpy as np
import pytest

from dp_assets.training.cells import LabelledCells
from dp_assets.training.class_predictions import class_predictions
from dp_assets_tests.training.synthetic import BOX, CHANNELS, CLASSES, ArrayCrops


def cells(labels: list[int]) -> LabelledCells:
    """The first pixel of a crop says its class."""
    crops = np.zeros((len(labels), BOX, BOX, CHANNELS), np.float32)
    crops[:, 0, 0, 0] = labels
    return LabelledCells(ArrayCrops(crops), np.array(labels, np.int64))


def network(answer: object, heads: int = 1) -> keras.Model:
    inputs = keras.Input((BOX, BOX, CHANNELS))
    outputs = [keras.layers.Lambda(answer, output_shape=(3,))(inputs) for _ in range(heads)]
    return keras.Model(inputs, outputs[0] if heads == 1 else outputs)


def honest(crops: keras.KerasTensor) -> keras.KerasTensor:
    return keras.ops.one_hot(keras.ops.cast(crops[:, 0, 0, 0], "int32"), 3)


def always_first(crops: keras.KerasTensor) -> keras.KerasTensor:
    return keras.ops.one_hot(keras.ops.zeros_like(crops[:, 0, 0, 0], dtype="int32"), 3)


@pytest.mark.parametrize("heads", [1, 2])
def test_a_network_that_knows_its_classes(heads: int) -> None:
    labels = [0, 1, 2, 2, 1, 1, 0]
    found = class_predictions(network(honest, heads), cells(labels), CLASSES, batch_size=3)
    assert found is not None
    counts = dict(zip(CLASSES, np.bincount(labels).tolist(), strict=True))
    assert found["true"] == found["predicted"] == counts
    assert found["confusion"] == np.diag(np.bincount(labels)).tolist()
    assert (found["cells"], found["not_finite"], found["largest_sum_error"]) == (7, 0, 0)


def test_a_network_that_says_one_class() -> None:
    found = class_predictions(network(always_first), cells([0, 1, 2, 2]), CLASSES, batch_size=32)
    assert found is not None
    assert found["predicted"] == dict(zip(CLASSES, (4, 0, 0), strict=True))
    assert found["confusion"] == [[1, 0, 0], [1, 0, 0], [2, 0, 0]]


def test_what_are_no_probabilities() -> None:
    doubled = class_predictions(network(lambda x: 2 * honest(x)), cells([0, 1]), CLASSES, batch_size=2)
    assert doubled is not None
    assert doubled["largest_sum_error"] == pytest.approx(1)
    broken = class_predictions(
        network(lambda x: honest(x) / keras.ops.cast(x[:, :1, 0, 0] < 2, "float32")),
        cells([0, 2, 1]),
        CLASSES,
        batch_size=2,
    )
    assert broken is not None
    assert broken["not_finite"] == 1
    assert sum(broken["true"].values()) == 2


def test_many_cells_are_thinned_evenly() -> None:
    found = class_predictions(network(honest), cells([0, 1, 2] * 900), CLASSES, batch_size=128)
    assert found is not None
    assert found["cells"] == 1000
    assert all(300 < count < 370 for count in found["true"].values())


def test_no_cells_and_networks_without_classes_say_nothing() -> None:
    assert class_predictions(network(honest), cells([]), CLASSES, batch_size=2) is None
    inputs = keras.Input((BOX, BOX, CHANNELS))
    same = keras.Model(inputs, keras.layers.Identity()(inputs))
    assert class_predictions(same, cells([0]), CLASSES, batch_size=2) is None
