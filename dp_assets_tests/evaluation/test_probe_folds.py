"""Folds of label probes: nothing that must be held apart is on both sides."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.evaluation.probe_folds import crossed_folds, grouped_folds


@st.composite
def _wells(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, compounds (each of one label) and plates of some wells; at least two plates and compounds."""
    count = draw(st.integers(6, 60))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    compound = rng.integers(0, draw(st.integers(2, 12)), count)
    plate = rng.integers(0, draw(st.integers(2, 8)), count)
    compound[:2], plate[:2] = (0, 1), (0, 1)
    label = compound % draw(st.integers(1, 4))
    return label.astype(str), compound.astype(str), plate.astype(str)


@settings(max_examples=60, deadline=None)
@given(_wells(), st.integers(2, 6), st.integers(0, 3))
def test_no_plate_is_on_both_sides(
    wells: tuple[np.ndarray, np.ndarray, np.ndarray], folds: int, seed: int
) -> None:
    labels, _, plates = wells
    found = grouped_folds(labels, plates, folds, seed)
    assert 1 <= len(found) <= min(folds, len(set(plates)))
    np.testing.assert_array_equal(found.tests.sum(axis=0), 1)
    for training, test in found:
        assert not set(plates[training]) & set(plates[test])
        assert len(training) + len(test) == len(plates)


@settings(max_examples=60, deadline=None)
@given(_wells(), st.integers(2, 6), st.integers(0, 3))
def test_no_plate_and_no_compound_is_on_both_sides(
    wells: tuple[np.ndarray, np.ndarray, np.ndarray], folds: int, seed: int
) -> None:
    labels, compounds, plates = wells
    found = crossed_folds(labels, compounds, plates, folds, seed)
    np.testing.assert_array_equal(found.tests.sum(axis=0), 1)
    for training, test in found:
        assert len(test)
        assert not set(plates[training]) & set(plates[test])
        assert not set(compounds[training]) & set(compounds[test])


def test_labels_are_spread_over_folds() -> None:
    plates = np.repeat([f"P{one}" for one in range(10)], 12)
    labels = np.tile(["a", "b", "c"], 40)
    found = grouped_folds(labels, plates, 5, 0)
    assert len(found) == 5
    for _, test in found:
        assert [int((labels[test] == one).sum()) for one in "abc"] == [8, 8, 8]
    np.testing.assert_array_equal(found.tests, grouped_folds(labels, plates, 5, 0).tests)
