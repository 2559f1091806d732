"""Expected scores against enumeration of all orders, and against copairs."""

from itertools import combinations

import numpy as np
import pytest
from copairs.map.normalization import expected_ap

from dp_assets.evaluation.chance import (
    expected_average_precision,
    expected_reciprocal_rank,
    no_hit_within,
)


@pytest.mark.parametrize(("relevant", "neighbours"), [(1, 5), (2, 7), (3, 6), (4, 4)])
def test_all_orders(relevant: int, neighbours: int) -> None:
    orders = list(combinations(range(1, neighbours + 1), relevant))
    first = np.array([order[0] for order in orders])
    counts = np.array([relevant])
    assert expected_reciprocal_rank(counts, neighbours) == pytest.approx((1 / first).mean())
    ranks = np.arange(neighbours + 1)
    expected = [(first > rank).mean() for rank in ranks]
    np.testing.assert_allclose(no_hit_within(counts, neighbours, ranks)[0], expected, atol=1e-12)
    precisions = [np.mean([(hit + 1) / rank for hit, rank in enumerate(order)]) for order in orders]
    assert expected_average_precision(counts, neighbours) == pytest.approx(np.mean(precisions))


def test_the_mean_is_over_queries() -> None:
    counts = np.array([1, 3, 3])
    by_copairs = np.mean([expected_ap(int(count), 20 - int(count)) for count in counts])
    assert expected_average_precision(counts, 20) == pytest.approx(by_copairs)
    single = [expected_reciprocal_rank(np.array([count]), 20) for count in counts]
    assert expected_reciprocal_rank(counts, 20) == pytest.approx(np.mean(single))
