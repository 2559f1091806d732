"""Confidence intervals."""

import numpy as np
import pytest

from dp_assets.evaluation.bootstrap import count_interval, interval, paired_interval
from dp_assets_tests.evaluation.profile_sets import evaluation


def test_interval_of_a_mean_is_near_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(3, 2, size=400)
    low, high = interval(values, evaluation(bootstraps=2000))
    half = 1.96 * values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)
    narrow = interval(values, evaluation(bootstraps=2000, confidence=0.5))
    assert low < narrow[0] < narrow[1] < high


def test_seed_decides() -> None:
    values = np.random.default_rng(1).normal(size=30)
    first = interval(values, evaluation(seed=4))
    assert first == interval(values, evaluation(seed=4))
    assert first != interval(values, evaluation(seed=5))


def test_one_value_has_no_interval() -> None:
    assert np.isnan(interval(np.array([1.0]), evaluation())).all()
    assert np.isnan(interval(np.array([]), evaluation())).all()


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert interval(np.ones(5), evaluation()) == (1, 1)


def test_counts_are_shares_times_the_number() -> None:
    flags = np.arange(40) < 10
    low, high = count_interval(flags, evaluation(bootstraps=500))
    share = interval(flags.astype(float), evaluation(bootstraps=500))
    assert (low, high) == pytest.approx((40 * share[0], 40 * share[1]))
    assert low < 10 < high


def test_pairs_are_resampled_together() -> None:
    values = np.random.default_rng(2).normal(size=50)

    def difference(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return a.mean(axis=axis) - b.mean(axis=axis)

    found = paired_interval(difference, (values + 1, values), evaluation())
    assert found == pytest.approx((1, 1))
