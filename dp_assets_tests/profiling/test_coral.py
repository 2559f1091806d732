"""CORAL against scipy's matrix square roots."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import inv, sqrtm

from dp_assets.profiling.coral import align_batches

BATCHES = np.array(["a"] * 14 + ["b"] * 12 + ["c"] * 6, object)


def profiles(seed: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Profiles around 0 and which are controls: batch b is stretched, c has one control."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(len(BATCHES), width)) @ rng.normal(size=(width, width))
    features[BATCHES == "b"] *= rng.uniform(0.2, 5, width)
    is_control = np.zeros(len(BATCHES), bool)
    is_control[[0, 1, 2, 3, 4, 5, 6, 14, 15, 16, 17, 18, 19, 20, 26]] = True
    features[is_control] -= features[is_control].mean(axis=0)
    return features, is_control


def covariance(rows: np.ndarray) -> np.ndarray:
    return rows.T @ rows / len(rows)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    width=st.integers(1, 12),
    regularization=st.sampled_from([0.01, 1.0, 20.0]),
    own=st.sampled_from([None, 1.0]),
)
def test_is_the_formula(seed: int, width: int, regularization: float, own: float | None) -> None:
    features, is_control = profiles(seed, width)
    aligned = align_batches(features, is_control, BATCHES, regularization, batch_regularization=own)
    target = np.real(sqrtm(covariance(features[is_control]) + regularization * np.eye(width)))
    for batch in ("a", "b"):
        rows = batch == BATCHES
        of_batch = covariance(features[rows & is_control]) + (own or regularization) * np.eye(width)
        expected = features[rows] @ inv(np.real(sqrtm(of_batch))) @ target
        np.testing.assert_allclose(aligned.features[rows], expected, atol=1e-7)
    assert aligned.unaligned == ("c",)
    np.testing.assert_array_equal(aligned.features[BATCHES == "c"], features[BATCHES == "c"])


def test_covariance_of_a_batch_becomes_that_of_all() -> None:
    features, is_control = profiles(1, 4)
    before = covariance(features[is_control])
    assert np.abs(covariance(features[is_control & (BATCHES == "b")]) - before).max() > 0.5
    aligned = align_batches(features, is_control, BATCHES, 1e-9).features
    for batch in ("a", "b"):
        after = covariance(aligned[is_control & (batch == BATCHES)])
        np.testing.assert_allclose(after, before, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), regularization=st.sampled_from([0.1, 1.0, 5.0]))
def test_regularized_covariances_agree_exactly(seed: int, regularization: float) -> None:
    """The map of a batch takes C_b + lambda I to C + lambda I, also with more features than controls."""
    width = 10
    features, is_control = profiles(seed, width)
    rows = BATCHES == "b"
    # the map itself: what becomes of the unit vectors, put in place of treated profiles
    probe = np.concatenate([features, np.eye(width)])
    aligned = align_batches(
        probe,
        np.concatenate([is_control, np.zeros(width, bool)]),
        np.concatenate([BATCHES, ["b"] * width]),
        regularization,
    ).features[len(BATCHES) :]
    before = covariance(features[rows & is_control]) + regularization * np.eye(width)
    np.testing.assert_allclose(
        aligned.T @ before @ aligned,
        covariance(features[is_control]) + regularization * np.eye(width),
        atol=1e-8,
    )


def test_one_batch_stays_as_it_is() -> None:
    features, is_control = profiles(2, 5)
    one = np.full(len(BATCHES), "only", object)
    np.testing.assert_allclose(align_batches(features, is_control, one, 0.3).features, features, atol=1e-9)


def test_lambda_must_be_above_zero() -> None:
    features, is_control = profiles(2, 5)
    with pytest.raises(ValueError, match="regularization above 0"):
        align_batches(features, is_control, BATCHES, 1.0, batch_regularization=0.0)
