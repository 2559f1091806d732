"""Profiles of sites and wells against pandas and pycytominer; order, batches and unusable cells."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.config.profile_sections import Summary
from dp_assets.config.protocol import Level
from dp_assets.profiling.aggregation import aggregate_cells

KEYS: dict[Level, list[int]] = {"well": [0, 1], "site": [0, 1, 2]}


def make_cells(seed: int, wells: int = 5, features: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Cells of wells with one to three sites."""
    rng = np.random.default_rng(seed)
    rows = [
        ("P1", f"B{well + 1:02d}", str(site))
        for well in range(wells)
        for site in range(rng.integers(1, 4))
        for _ in range(rng.integers(1, 12))
    ]
    names = np.array(rows, dtype=object)
    return names, rng.normal(size=(len(names), features)).astype(np.float32)


def of_wells(wells: list[str]) -> np.ndarray:
    return np.array([("P1", well, "1") for well in wells], dtype=object).reshape(-1, 3)


def cut(names: np.ndarray, features: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(names[i : i + size], features[i : i + size]) for i in range(0, len(names), size)]


@pytest.mark.parametrize("level", ["site", "well"])
@pytest.mark.parametrize("method", ["mean", "median"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_profiles_equal_a_pandas_group_by(level: Level, method: Summary, size: int) -> None:
    names, features = make_cells(3)
    result = aggregate_cells(cut(names, features, size), level, method)
    groups = pd.DataFrame(features.astype(np.float64)).groupby(
        [names[:, part] for part in KEYS[level]], sort=False
    )
    expected = groups.agg(method)
    assert result.keys == list(expected.index)
    np.testing.assert_allclose(result.features, expected.to_numpy(), rtol=1e-6, atol=1e-7)
    assert result.features.dtype == np.float32
    assert list(result.cells) == list(groups.size())


@pytest.mark.parametrize("method", ["mean", "median"])
def test_profiles_equal_pycytominer(method: Summary) -> None:
    from pycytominer import aggregate

    names, features = make_cells(11)
    frame = pd.DataFrame(features.astype(np.float64), columns=[f"cnn_{i}" for i in range(features.shape[1])])
    strata = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]
    for column, name in enumerate(strata):
        frame.insert(column, name, names[:, column])
    expected = aggregate(frame, strata=strata, features=list(frame.columns[3:]), operation=method)
    result = aggregate_cells([(names, features)], "site", method)
    np.testing.assert_allclose(
        result.features, expected.set_index(strata).loc[result.keys], rtol=1e-6, atol=1e-7
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 40),
    level=st.sampled_from(["site", "well"]),
    method=st.sampled_from(["mean", "median"]),
    outliers=st.sampled_from([None, 0.5, 3.0]),
)
def test_the_cut_into_batches_changes_nothing(
    seed: int, size: int, level: Level, method: Summary, outliers: float | None
) -> None:
    names, features = make_cells(seed)
    whole = aggregate_cells([(names, features)], level, method, outlier_cells=outliers)
    pieces = aggregate_cells(cut(names, features, size), level, method, outlier_cells=outliers)
    assert whole.keys == pieces.keys
    assert np.array_equal(whole.features, pieces.features)
    assert np.array_equal(whole.cells, pieces.cells)
    assert whole.outliers == pieces.outliers


def test_sums_are_taken_in_float64() -> None:
    # In float32 the ones would vanish beside 2**25.
    features = np.array([[2.0**25]] + [[1.0]] * 7 + [[-(2.0**25)]], np.float32)
    result = aggregate_cells([(of_wells(["A01"] * 9), features)], "well")
    assert result.features[0, 0] == np.float32(7 / 9)


@pytest.mark.parametrize("order", ["C", "F"])
def test_means_are_sums_in_the_order_of_the_cells(order: str) -> None:
    features = np.random.default_rng(2).normal(size=(20_000, 3)).astype(np.float32, order=order)
    total = np.zeros(3)
    for row in features:
        total += row
    result = aggregate_cells([(of_wells(["A01"] * len(features)), features)], "well")
    assert np.array_equal(result.features[0], (total / len(features)).astype(np.float32))


@pytest.mark.parametrize("level", ["site", "well"])
def test_cells_that_are_not_finite_are_left_out_and_counted(level: Level) -> None:
    names, features = make_cells(5)
    features[[0, 3], [1, 2]] = np.nan, np.inf
    result = aggregate_cells([(names, features)], level)
    kept = np.isfinite(features).all(axis=1)
    keys = [names[kept][:, part] for part in KEYS[level]]
    expected = pd.DataFrame(features[kept].astype(np.float64)).groupby(keys, sort=False).mean()
    assert result.excluded == 2
    assert int(result.cells.sum()) == len(names) - 2
    np.testing.assert_allclose(result.features, expected.loc[result.keys], rtol=1e-6)


def test_wells_with_too_few_cells_get_no_profile_and_are_named() -> None:
    features = np.arange(12, dtype=np.float32).reshape(6, 2)
    features[5] = np.nan
    names = of_wells(["A01"] * 3 + ["A02"] * 2 + ["A03"])
    result = aggregate_cells([(names, features)], "well", minimum_cells=3)
    assert result.keys == [("P1", "A01")]
    assert result.too_few == {("P1", "A02"): 2, ("P1", "A03"): 0}
    assert result.excluded == 1


def test_a_site_whose_cells_are_all_unusable_contributes_nothing() -> None:
    names = np.array([("P1", "A01", "1"), ("P1", "A01", "2")], dtype=object)
    features = np.array([[np.nan, 1.0], [3.0, 4.0]], np.float32)
    result = aggregate_cells([(names, features)], "site")
    assert result.keys == [("P1", "A01", "2")]
    assert result.features.tolist() == [[3.0, 4.0]]
    assert result.too_few == {("P1", "A01", "1"): 0}


def test_wells_of_the_same_name_on_two_plates_are_two() -> None:
    names = np.array([("P1", "A01", "1"), ("P2", "A01", "1")], dtype=object)
    result = aggregate_cells([(names, np.array([[1.0], [5.0]], np.float32))], "well")
    assert result.keys == [("P1", "A01"), ("P2", "A01")]
    assert result.features.tolist() == [[1.0], [5.0]]


def test_a_plate_without_cells_has_no_wells_but_keeps_the_width() -> None:
    nothing = of_wells([]), np.empty((0, 4), np.float32)
    result = aggregate_cells([(of_wells(["A01"]), np.full((1, 4), np.nan, np.float32)), nothing], "well")
    assert result.keys == []
    assert result.features.shape == (0, 4)
    assert aggregate_cells([nothing], "site").features.shape == (0, 4)


def test_a_well_that_comes_back_is_refused() -> None:
    with pytest.raises(ValueError, match="P1/A01, which comes back"):
        aggregate_cells([(of_wells(["A01", "A02", "A01"]), np.zeros((3, 2), np.float32))], "well")


@pytest.mark.parametrize(
    ("wells", "features", "message"),
    [
        (["A01", "A01"], np.zeros((3, 2), np.float32), r"names of shape \(2, 3\)"),
        (["A01"], np.zeros((1, 3), np.float32), "batches of 2 features"),
    ],
)
def test_batches_that_do_not_fit_are_refused(wells: list[str], features: np.ndarray, message: str) -> None:
    first = (of_wells(["A01"]), np.zeros((1, 2), np.float32))
    with pytest.raises(ValueError, match=message):
        aggregate_cells([first, (of_wells(wells), features)], "well")


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="'mode'"):
        aggregate_cells([], "well", "mode")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'plate'"):
        aggregate_cells([], "plate")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        aggregate_cells([], "well", minimum_cells=0)
