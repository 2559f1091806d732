"""Dose response against made profiles whose answer is known."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from dp_assets.evaluation.dose_response import control_distances, dose_responses


def test_distance_is_in_units_of_the_controls_scatter() -> None:
    rng = np.random.default_rng(1)
    controls = rng.normal(size=(50, 4))
    shifted = controls.mean(axis=0) + np.array([[3.0, 0.0, 4.0, 0.0]])
    profiles = np.concatenate([controls, shifted])
    is_control = np.arange(51) < 50
    distances = control_distances(profiles, is_control)
    assert np.median(distances[is_control]) == pytest.approx(1.0)
    scatter = np.median(np.linalg.norm(controls - controls.mean(axis=0), axis=1))
    assert distances[50] == pytest.approx(5.0 / scatter)


def test_controls_must_be_two_and_differ() -> None:
    with pytest.raises(ValueError, match="at least two"):
        control_distances(np.eye(3), np.array([True, False, False]))
    with pytest.raises(ValueError, match="differ"):
        control_distances(np.ones((3, 2)), np.array([True, True, False]))


def test_rank_correlation_is_of_the_medians_by_dose() -> None:
    doses = np.array([1, 1, 3, 3, 10, 10, 30, 30, np.nan, 0.0, 1, 3])
    distances = np.array([1, 9, 4, 4, 3, 3, 8, 8, 100, 100, 5.0, 6.0])
    compounds = np.array(["a"] * 8 + ["a", "control"] + ["b"] * 2, dtype=object)
    a, b = dose_responses(compounds, doses, distances)
    assert (a.compound, a.wells) == ("a", 8)
    np.testing.assert_array_equal(a.doses, [1, 3, 10, 30])
    np.testing.assert_array_equal(a.distances, [5, 4, 3, 8])
    assert a.spearman == pytest.approx(spearmanr([1, 3, 10, 30], [5, 4, 3, 8]).statistic)
    assert b.compound == "b"
    assert np.isnan(b.spearman)
