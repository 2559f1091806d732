"""Outlier cells: planted ones, the rule spelled out, and what must not be left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation

from dp_assets.profiling.aggregation import aggregate_cells
from dp_assets.profiling.outlier_cells import typical_cells


def planted(cells: int = 40, features: int = 300, seed: int = 0) -> np.ndarray:
    """Two cells far away in many features; one feature is 1e6 times louder than the others."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(cells, features))
    values[[4, 17]] += 6 * rng.choice([-1, 1], features)
    values[:, 0] *= 1e6
    return values.astype(np.float32)


def test_planted_outliers_and_only_these_are_found() -> None:
    assert np.flatnonzero(~typical_cells(planted(), 5.0)).tolist() == [4, 17]


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 1000),
    cells=st.integers(4, 40),
    features=st.integers(1, 600),
    threshold=st.floats(0.1, 6),
)
def test_the_rule_in_scipy_s_words(seed: int, cells: int, features: int, threshold: float) -> None:
    values = np.random.default_rng(seed).normal(size=(cells, features)).astype(np.float32)
    values[:, ::5] = 3.0
    wide = values.astype(np.float64)
    # scipy's "normal" scale is 0.6745 to more digits than 1 / 1.4826 has
    scale = 1.4826 * median_abs_deviation(wide, axis=0)
    z = ((wide - np.median(wide, axis=0)) / np.where(scale > 0, scale, np.inf))[:, scale > 0]
    distances = np.linalg.norm(z, axis=1)
    limit = np.median(distances) + threshold * 1.4826 * median_abs_deviation(distances)
    found = typical_cells(values, threshold)
    clear = np.abs(distances - limit) > 1e-9 * limit if z.size else np.zeros(cells, dtype=bool)
    assert (found == (distances <= limit))[clear].all()
    assert z.size or found.all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), exponent=st.integers(-8, 8))
def test_the_scale_of_a_feature_does_not_matter(seed: int, exponent: int) -> None:
    values = np.random.default_rng(seed).standard_t(2, size=(30, 5)).astype(np.float32)
    louder = values * np.float32(2.0**exponent) ** np.arange(5, dtype=np.float32)
    assert np.array_equal(typical_cells(values, 2.0), typical_cells(louder, 2.0))


def test_wells_of_three_cells_keep_all() -> None:
    far = np.array([[0.0], [0.1], [1e9]], np.float32)
    assert typical_cells(far, 0.1).all()
    assert typical_cells(np.vstack([far[:2], [[0.2], [0.3]], far[2:]]), 3.0).tolist() == [True] * 4 + [False]


@pytest.mark.parametrize(
    "values",
    [
        np.ones((6, 3)),
        # most cells are 0 in every feature
        np.eye(6)[:, :3],
        # two kinds of cells, all equally far from the middle up to rounding
        np.repeat([[0.1, 0.7], [0.3, 0.2]], 3, axis=0),
    ],
)
def test_cells_without_scatter_are_all_kept(values: np.ndarray) -> None:
    assert typical_cells(values.astype(np.float32), 0.5).all()


def test_sites_and_wells_leave_out_the_same_cells() -> None:
    values = planted()
    values[9] = np.nan
    # One outlier would be half of its site, where it could not stand out.
    sites = ["1"] * 20 + ["2"] * 18 + ["3"] * 2
    values[[17, 38]] = values[[38, 17]]
    names = np.array([("P1", "A01", site) for site in sites], dtype=object)
    well = aggregate_cells([(names, values)], "well", outlier_cells=5.0)
    by_site = aggregate_cells([(names, values)], "site", outlier_cells=5.0)
    assert (well.outliers, well.excluded) == (by_site.outliers, by_site.excluded) == (2, 1)
    assert by_site.cells.tolist() == [18, 18, 1]
    kept = np.delete(values, [4, 9, 38], axis=0).astype(np.float64)
    np.testing.assert_allclose(well.features[0], kept.mean(axis=0), rtol=1e-4, atol=1e-6)
    weighted = (by_site.features.astype(np.float64) * by_site.cells[:, None]).sum(axis=0) / 37
    np.testing.assert_allclose(weighted, well.features[0], rtol=1e-4, atol=1e-5)


def test_a_threshold_must_be_positive() -> None:
    with pytest.raises(ValueError, match="above 0"):
        typical_cells(np.zeros((5, 2)), 0.0)
