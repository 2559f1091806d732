"""Several heads: one per target column, named and seeded apart, none without classes."""

import keras
import numpy as np
import pytest

from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets_tests.networks.builders import small_cnn

CROPS = np.random.default_rng(0).random((3, 16, 16, 2), np.float32)


def test_every_column_has_a_head_of_its_own() -> None:
    one = small_cnn(classes=3)
    model = small_cnn(classes=3, more_heads=(("Dose level", 3), ("Metadata/Plate", 5)))
    assert model.output_names == ["Treatment", "Dose_level", "Metadata_Plate"]
    outputs = model.predict(CROPS, verbose=0)
    assert [output.shape for output in outputs] == [(3, 3), (3, 3), (3, 5)]
    for output in outputs:
        np.testing.assert_allclose(output.sum(axis=1), 1, rtol=1e-5)
    # Further heads leave the first as it is, and do not start with its weights.
    np.testing.assert_array_equal(outputs[0], one.predict(CROPS, verbose=0))
    assert not np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(
        *(model.get_layer(name).get_weights()[0] for name in ("Treatment", "Dose_level"))
    )


def test_heads_named_class_prob_carry_their_columns_and_the_penalty() -> None:
    request = NetworkRequest("efficientnet", (32, 32, 2), 3, target="A", more_heads=(("B c", 4), ("B.c", 2)))
    model = build_network(request)
    assert model.output_names == ["ClassProb", "ClassProb_B_c", "ClassProb_B_c_head"]
    assert [tuple(output.shape) for output in model.outputs] == [(None, 3), (None, 4), (None, 2)]
    assert len(model.losses) == 66 + 2


def test_columns_that_differ_in_illegal_characters_only_have_heads_of_their_own() -> None:
    model = small_cnn(target="A b", more_heads=(("A.b", 2), ("features", 2)))
    assert len(set(model.output_names)) == 3
    assert model.output_names[0] == "A_b"


def test_without_classes_the_output_is_the_features() -> None:
    model = small_cnn(classes=None, more_heads=(("Dose", 3),))
    assert model.output_names == ["features"]
    assert model.predict(CROPS, verbose=0).shape == (3, 8)


def test_several_heads_train_together() -> None:
    model = small_cnn(more_heads=(("Dose", 4),))
    model.compile(keras.optimizers.SGD(0.1), ["categorical_crossentropy"] * 2)
    before = [model.get_layer(name).get_weights()[0] for name in ("Treatment", "Dose")]
    labels = [np.eye(3)[[0, 1, 2]], np.eye(4)[[3, 1, 0]]]
    first = model.train_on_batch(CROPS, labels)[0]
    for _ in range(10):
        last = model.train_on_batch(CROPS, labels)[0]
    assert last < first
    after = [model.get_layer(name).get_weights()[0] for name in ("Treatment", "Dose")]
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert first == pytest.approx(np.log(3) + np.log(4), rel=0.5)
