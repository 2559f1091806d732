"""Well profiles against pandas and pycytominer, and the promises about order, batches and unusable cells."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.profiling.aggregation import Aggregation, aggregate_wells


def make_cells(seed: int, wells: int = 5, features: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 30, wells)
    names = np.repeat([f"B{i + 1:02d}" for i in range(wells)], counts)
    return names, rng.normal(size=(len(names), features)).astype(np.float32)


def cut(names: np.ndarray, features: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(names[i : i + size], features[i : i + size]) for i in range(0, len(names), size)]


@pytest.mark.parametrize("method", ["mean", "median"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_profiles_equal_a_pandas_group_by(method: Aggregation, size: int) -> None:
    names, features = make_cells(3)
    result = aggregate_wells(cut(names, features, size), method)
    expected = pd.DataFrame(features.astype(np.float64)).groupby(names, sort=False).agg(method)
    assert result.wells == list(expected.index)
    np.testing.assert_allclose(result.features, expected.to_numpy(), rtol=1e-6, atol=1e-7)
    assert result.features.dtype == np.float32
    assert list(result.cells) == list(pd.Series(names).value_counts(sort=False)[expected.index])


@pytest.mark.parametrize("method", ["mean", "median"])
def test_profiles_equal_pycytominer(method: Aggregation) -> None:
    aggregate = pytest.importorskip("pycytominer").aggregate
    names, features = make_cells(11)
    frame = pd.DataFrame(features.astype(np.float64), columns=[f"cnn_{i}" for i in range(features.shape[1])])
    frame.insert(0, "Metadata_Well", names)
    expected = aggregate(
        frame, strata=["Metadata_Well"], features=list(frame.columns[1:]), operation=method
    ).set_index("Metadata_Well")
    result = aggregate_wells([(names, features)], method)
    np.testing.assert_allclose(result.features, expected.loc[result.wells], rtol=1e-6, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 40), method=st.sampled_from(["mean", "median"]))
def test_the_cut_into_batches_changes_nothing(seed: int, size: int, method: Aggregation) -> None:
    names, features = make_cells(seed)
    whole = aggregate_wells([(names, features)], method)
    pieces = aggregate_wells(cut(names, features, size), method)
    assert whole.wells == pieces.wells
    assert np.array_equal(whole.features, pieces.features)
    assert np.array_equal(whole.cells, pieces.cells)


def test_sums_are_taken_in_float64() -> None:
    # In float32 the ones would vanish beside 2**25.
    features = np.array([[2.0**25]] + [[1.0]] * 7 + [[-(2.0**25)]], np.float32)
    result = aggregate_wells([(np.repeat("A01", 9), features)], "mean")
    assert result.features[0, 0] == np.float32(7 / 9)


def test_means_are_sums_in_the_order_of_the_cells() -> None:
    features = np.random.default_rng(2).normal(size=(20_000, 3)).astype(np.float32)
    total = np.zeros(3)
    for row in features:
        total += row
    result = aggregate_wells([(np.repeat("A01", len(features)), features)], "mean")
    assert np.array_equal(result.features[0], (total / len(features)).astype(np.float32))


def test_cells_that_are_not_finite_are_left_out_and_counted() -> None:
    names, features = make_cells(5)
    features[[0, 3], [1, 2]] = np.nan, np.inf
    result = aggregate_wells([(names, features)], "mean")
    kept = np.isfinite(features).all(axis=1)
    expected = pd.DataFrame(features[kept].astype(np.float64)).groupby(names[kept], sort=False).mean()
    assert result.excluded == 2
    assert int(result.cells.sum()) == len(names) - 2
    np.testing.assert_allclose(result.features, expected.loc[result.wells], rtol=1e-6)


def test_wells_with_too_few_cells_get_no_profile_and_are_named() -> None:
    names = np.array(["A01"] * 3 + ["A02"] * 2 + ["A03"])
    features = np.arange(12, dtype=np.float32).reshape(6, 2)
    features[5] = np.nan
    result = aggregate_wells([(names, features)], "mean", minimum_cells=3)
    assert result.wells == ["A01"]
    assert result.too_few == {"A02": 2, "A03": 0}
    assert result.excluded == 1


def test_a_plate_without_cells_has_no_wells_but_keeps_the_width() -> None:
    names = np.array(["A01"])
    result = aggregate_wells(
        [(names, np.full((1, 4), np.nan, np.float32)), (names[:0], np.empty((0, 4), np.float32))]
    )
    assert result.wells == []
    assert result.features.shape == (0, 4)
    assert aggregate_wells([(names[:0], np.empty((0, 4), np.float32))]).features.shape == (0, 4)


def test_a_well_that_comes_back_is_refused() -> None:
    names = np.array(["A01", "A02", "A01"])
    with pytest.raises(ValueError, match="A01 comes back"):
        aggregate_wells([(names, np.zeros((3, 2), np.float32))])


@pytest.mark.parametrize(
    ("names", "features", "message"),
    [
        (["A01", "A01"], np.zeros((3, 2), np.float32), "2 names"),
        (["A01"], np.zeros((1, 3), np.float32), "batches of 2 features"),
    ],
)
def test_batches_that_do_not_fit_are_refused(names: list[str], features: np.ndarray, message: str) -> None:
    first = (np.array(["A01"]), np.zeros((1, 2), np.float32))
    with pytest.raises(ValueError, match=message):
        aggregate_wells([first, (np.array(names), features)])


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="'mode'"):
        aggregate_wells([], "mode")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        aggregate_wells([], minimum_cells=0)
