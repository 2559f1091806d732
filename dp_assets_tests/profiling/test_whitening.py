"""Whitening against the plain eigendecomposition of the covariance, and pycytominer's Spherize."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycytominer.operations import Spherize
from scipy.spatial.distance import cdist
from scipy.stats import ortho_group

from dp_assets.profiling.control_spectrum import control_spectrum
from dp_assets.profiling.whitening import fit_whitening

SHAPES = st.tuples(st.integers(2, 30), st.integers(1, 20))
LAMBDAS = st.sampled_from([1e-4, 1e-2, 1.0, 30.0])


def controls_of(shape: tuple[int, int], seed: int, dead: bool = True) -> np.ndarray:
    """Correlated features, one of which never varies."""
    rng = np.random.default_rng(seed)
    count, width = shape
    values = rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) + rng.normal(0, 20, width)
    if dead:
        values[:, rng.integers(width)] = 3.0
    return values


def by_eigenvectors(controls: np.ndarray, regularization: float) -> tuple[np.ndarray, np.ndarray]:
    """The matrix of the form "zca" by the formula, and the mean."""
    mean = controls.mean(axis=0)
    centred = controls - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(controls))
    return vectors @ np.diag((values.clip(0) + regularization) ** -0.5) @ vectors.T, mean


@settings(max_examples=80, deadline=None)
@given(shape=SHAPES, regularization=LAMBDAS, seed=st.integers(0, 10_000))
def test_sphering_is_the_formula(shape: tuple[int, int], regularization: float, seed: int) -> None:
    controls = controls_of(shape, seed)
    profiles = controls_of((7, shape[1]), seed + 1, dead=False)
    matrix, mean = by_eigenvectors(controls, regularization)
    whitening = fit_whitening(controls, regularization, "zca")
    np.testing.assert_allclose(whitening.matrix(), matrix, atol=1e-7)
    np.testing.assert_allclose(whitening.apply(profiles), (profiles - mean) @ matrix, atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(shape=SHAPES, regularization=LAMBDAS, seed=st.integers(0, 10_000))
def test_whitening_is_sphering_turned(shape: tuple[int, int], regularization: float, seed: int) -> None:
    """Same cosines and distances, principal axes first, W = V diag((s + lambda) ** -0.5)."""
    controls = controls_of(shape, seed)
    profiles = controls_of((7, shape[1]), seed + 1, dead=False)
    sphering = fit_whitening(controls, regularization, "zca")
    whitening = fit_whitening(controls, regularization, "pca")
    turned, straight = whitening.apply(profiles), sphering.apply(profiles)
    assert turned.shape == profiles.shape
    for metric in ("cosine", "euclidean"):
        np.testing.assert_allclose(
            cdist(turned, turned, metric), cdist(straight, straight, metric), rtol=1e-6, atol=1e-6
        )
    spectrum, rank = whitening.spectrum, whitening.spectrum.rank
    expected = spectrum.directions * (spectrum.eigenvalues + regularization) ** -0.5
    np.testing.assert_allclose(whitening.matrix()[:, :rank], expected, atol=1e-9 * regularization**-0.5)
    # the other columns complete the basis
    np.testing.assert_allclose(
        whitening.matrix() @ whitening.matrix().T, sphering.matrix() @ sphering.matrix().T, atol=1e-6
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), form=st.sampled_from(["pca", "zca"]))
def test_controls_become_white(seed: int, form: str) -> None:
    controls = controls_of((60, 8), seed, dead=False)
    white = fit_whitening(controls, 1e-12, form).apply(controls)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-9)
    # The ridge of 1e-12 shortens the direction with the smallest variance the most.
    least = np.linalg.eigvalsh(np.cov(controls.T, bias=True)).min()
    np.testing.assert_allclose(white.T @ white / 60, np.eye(8), atol=1e-6 + 2e-12 / least)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_turning_the_features_changes_no_cosine(seed: int) -> None:
    controls, profiles = controls_of((9, 6), seed), controls_of((5, 6), seed + 1)
    turn = ortho_group.rvs(6, random_state=seed)
    plain = fit_whitening(controls, 0.1).apply(profiles)
    turned = fit_whitening(controls @ turn, 0.1).apply(profiles @ turn)
    np.testing.assert_allclose(plain @ turn, turned, atol=1e-7)


def test_against_spherize_of_pycytominer() -> None:
    """It adds its epsilon to singular values, divided by n - 1: without either, both are the same."""
    controls = pd.DataFrame(controls_of((50, 6), 1, dead=False))
    profiles = pd.DataFrame(controls_of((9, 6), 2, dead=False))
    theirs = Spherize(method="ZCA", epsilon=0, return_numpy=True).fit(controls).transform(profiles)
    ours = fit_whitening(controls.to_numpy(), 1e-13).apply(profiles.to_numpy())
    np.testing.assert_allclose(ours * np.sqrt(49 / 50), theirs, rtol=1e-6, atol=1e-9)


def test_more_features_than_controls_keep_the_rest_of_space() -> None:
    """A profile off the plane of the controls is stretched by 1 / sqrt(lambda) there."""
    controls = np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]])
    away = np.array([[0.0, 0, 3, 4]])
    for form in ("pca", "zca"):
        whitening = fit_whitening(controls, 0.25, form)
        assert whitening.spectrum.rank == 1
        assert np.linalg.norm(whitening.apply(away)) == pytest.approx(5 / 0.5)
        assert np.linalg.norm(whitening.apply(controls[:1])) == pytest.approx(1 / np.sqrt(1.25))


def test_controls_that_are_all_alike() -> None:
    controls = np.full((3, 4), 2.0)
    for form in ("pca", "zca"):
        np.testing.assert_allclose(
            np.abs(fit_whitening(controls, 0.01, form).apply(controls + 1)), np.full((3, 4), 10.0)
        )


@pytest.mark.parametrize("form", ["pca", "zca"])
@pytest.mark.parametrize("count", [40, 400])
def test_residuals_are_those_of_a_direct_computation(form: str, count: int) -> None:
    controls = controls_of((count, 60), 3).astype(np.float32)
    whitening = fit_whitening(controls, 1e-3, form)
    white = whitening.apply(controls)
    assert max(whitening.residuals(white.astype(np.float32))) < 1e-6
    shifted = white + 0.5
    assert whitening.residuals(shifted)[0] == pytest.approx(0.5)
    assert whitening.residuals(shifted)[1] < 1e-6
    # twice as wide: the covariance is 4 s / (s + lambda) instead of s / (s + lambda)
    strongest = whitening.spectrum.largest / (whitening.spectrum.largest + 1e-3)
    assert whitening.residuals(2 * white)[1] == pytest.approx(3 * strongest, rel=1e-4)


def test_residuals_without_strong_directions() -> None:
    controls = controls_of((9, 4), 3)
    whitening = fit_whitening(controls, 1e6)
    assert whitening.residuals(whitening.apply(controls))[1] == 0


def test_a_weak_lambda_is_known() -> None:
    controls = np.array([[1000.0, 0], [-1000.0, 0], [0, 1], [0, -1]])
    assert control_spectrum(controls).largest == pytest.approx(5e5)
    assert fit_whitening(controls, 0.4).is_weak
    assert not fit_whitening(controls, 0.6).is_weak


def test_many_controls_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    controls = controls_of((500, 5), 4)
    whole = control_spectrum(controls)
    monkeypatch.setattr("dp_assets.profiling.control_spectrum._ROWS_AT_ONCE", 64)
    pieces = control_spectrum(controls)
    np.testing.assert_allclose(pieces.eigenvalues, whole.eigenvalues, rtol=1e-10)
    np.testing.assert_allclose(pieces.directions, whole.directions, atol=1e-10)


def test_badly_scaled_features_keep_their_accuracy() -> None:
    """A covariance made first would know nothing below 1e-16 of its largest entry."""
    controls = np.random.default_rng(0).normal(size=(300, 3)) * [1e6, 1.0, 1e-2]
    whitening = fit_whitening(controls, 1e-6)
    np.testing.assert_allclose(whitening.spectrum.eigenvalues, controls.var(axis=0), rtol=0.1)
    assert max(whitening.residuals(whitening.apply(controls))) < 1e-6


def test_float32_profiles_lose_nothing() -> None:
    controls = (controls_of((30, 5), 6) + 1e4).astype(np.float32)
    np.testing.assert_array_equal(
        fit_whitening(controls, 0.01).apply(controls),
        fit_whitening(controls.astype(np.float64), 0.01).apply(controls.astype(np.float64)),
    )


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan")])
def test_what_cannot_be(bad: float) -> None:
    with pytest.raises(ValueError, match="regularization above 0"):
        fit_whitening(np.eye(3), bad)
    with pytest.raises(ValueError, match="at least two controls"):
        fit_whitening(np.ones((1, 3)), 1.0)
