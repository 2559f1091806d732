"""Cosine similarity against scikit-learn."""

import numpy as np
from sklearn.metrics.pairwise import cosine_similarity as oracle

from dp_assets.evaluation.similarity import cosine_similarity, unit_rows, zero_rows


def test_it_is_the_cosine() -> None:
    features = np.random.default_rng(1).normal(size=(1100, 7))
    found = cosine_similarity(features)
    np.testing.assert_allclose(found, oracle(features), atol=1e-11)
    assert np.abs(found).max() <= 1


def test_rows_of_zeros_are_similar_to_nothing_and_counted() -> None:
    features = np.array([[1.0, 2.0], [0.0, 0.0], [2.0, 4.0]])
    np.testing.assert_array_equal(cosine_similarity(features), [[1, 0, 1], [0, 0, 0], [1, 0, 1]])
    assert zero_rows(features) == 1


def test_copies_are_equally_similar_to_the_last_digit() -> None:
    features = np.random.default_rng(2).normal(size=(5, 300))
    found = cosine_similarity(np.concatenate([features, features[[0]] * 3.7]))
    np.testing.assert_array_equal(found[:, 0], found[:, 5])


def test_lengths_of_any_size() -> None:
    features = np.array([[3e-30, 4e-30], [3e30, 4e30]], np.float32)
    np.testing.assert_allclose(unit_rows(features), [[0.6, 0.8], [0.6, 0.8]], rtol=1e-6)
    assert unit_rows(features).dtype == np.float32


def test_no_rows() -> None:
    assert cosine_similarity(np.empty((0, 3))).shape == (0, 0)
