"""Feature selection on hand-made features, and against pycytominer itself."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycytominer import feature_select

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.profile_sections import FeatureSelectionSettings
from dp_assets.profiling.correlated_features import correlated_features
from dp_assets.profiling.feature_selection import Selection, drop_missing, select_features

ROWS = 60
NOBODY = np.full(ROWS, "", object)


def chosen(
    features: np.ndarray,
    *operations: str,
    names: Sequence[str] | None = None,
    treatments: np.ndarray = NOBODY,
    minimum_variance: float = 1e-6,
    **values: float,
) -> Selection:
    return select_features(
        features,
        names or [f"net_{n}" for n in range(features.shape[1])],
        treatments,
        FeatureSelectionSettings(operations=operations, **values),
        minimum_variance=minimum_variance,
    )


def noise(width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, width))


def test_nothing_asked_nothing_taken() -> None:
    selection = chosen(noise(3))
    assert selection.kept.tolist() == [0, 1, 2]
    assert selection.dropped == {}


def test_variance() -> None:
    features = noise(5)
    features[:, 1] = 0.1
    features[:, 2] = 1e-4 * features[:, 2]  # variance 1e-8
    features[:, 4] = 0
    features[:4, 4] = [1, 2, 3, 4]  # 56 zeros, every other value once: 1/56 is below 0.05
    selection = chosen(features, "variance_threshold")
    assert selection.kept.tolist() == [0, 3]
    assert selection.dropped == {"variance_threshold": 3}
    assert chosen(features, "variance_threshold", frequency_cut=0.01).kept.tolist() == [0, 3, 4]
    # 5 of 60 values differ
    few = chosen(features, "variance_threshold", frequency_cut=0.01, unique_cut=0.1)
    assert few.kept.tolist() == [0, 3]


def test_small_features_stay_where_units_are_arbitrary() -> None:
    features = 1e-6 * noise(2)
    features = np.column_stack([features, np.full(ROWS, 0.1)])
    assert chosen(features, "variance_threshold", minimum_variance=0).kept.tolist() == [0, 1]


@pytest.mark.parametrize("least", [0.0, 1e-6])
def test_no_variance_at_all(least: float) -> None:
    with pytest.raises(ConfigurationError, match="no feature is left: variance_threshold took 4"):
        chosen(np.full((ROWS, 4), 0.1), "variance_threshold", minimum_variance=least)


def test_of_two_alike_the_one_that_is_more_like_the_rest_goes() -> None:
    base = noise(4)
    twin = base[:, 0] + 0.1 * base[:, 1]
    related = base[:, 1] + 0.6 * base[:, 2]
    features = np.column_stack([base[:, 0], twin, related, base[:, 3]])
    # the twin also correlates with `related`, so it is the one to go
    assert chosen(features, "correlation_threshold").kept.tolist() == [0, 2, 3]
    assert chosen(-features[:, ::-1], "correlation_threshold").kept.tolist() == [0, 1, 3]
    # opposite features both stay, as in pycytominer
    opposite = np.column_stack([base[:, 0], -base[:, 0]])
    assert chosen(opposite, "correlation_threshold").kept.tolist() == [0, 1]
    assert chosen(features, "correlation_threshold", correlation_threshold=0.9999).dropped == {
        "correlation_threshold": 0
    }


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    width=st.integers(2, 40),
    sources=st.integers(1, 5),
    threshold=st.floats(0.3, 0.95),
)
def test_correlation_against_pycytominer(seed: int, width: int, sources: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(ROWS, sources)) @ rng.normal(size=(sources, width))
    features = mixed + 0.3 * rng.normal(size=(ROWS, width))
    frame = pd.DataFrame(features).rename(columns=str)
    expected = feature_select(
        frame, features=list(frame.columns), operation=["correlation_threshold"], corr_threshold=threshold
    )
    going = correlated_features(features, threshold)
    assert np.flatnonzero(~going).tolist() == [int(name) for name in expected.columns]


def test_of_equal_features_one_stays() -> None:
    features = np.repeat(noise(1), 3, axis=1)
    constant = np.column_stack([features, np.ones(ROWS)])
    assert int((~correlated_features(constant, 0.9))[:3].sum()) == 1
    assert not correlated_features(constant, 0.9)[3]
    assert correlated_features(noise(1), 0.9).tolist() == [False]


def test_outliers() -> None:
    features = noise(3)
    features[4, 1] = -501
    assert chosen(features, "drop_outliers").kept.tolist() == [0, 2]
    assert chosen(features, "drop_outliers", outlier_cutoff=502).kept.tolist() == [0, 1, 2]


def test_blocklist_knows_names_of_cellprofiler_only() -> None:
    names = ["Nuclei_Correlation_Manders_AGP_DNA", "Cells_AreaShape_Area"]
    assert chosen(noise(2), "blocklist", names=names).kept.tolist() == [1]
    assert chosen(noise(2), "blocklist").kept.tolist() == [0, 1]


def test_noise_within_treatments() -> None:
    """Treatments with one profile and rows without treatment do not make a feature look steady."""
    treatments = np.array(["a"] * 20 + ["b"] * 20 + [f"single{n}" for n in range(15)] + [""] * 5, object)
    features = noise(2)
    features[:20, 1] = 3 + 0.01 * features[:20, 1]
    features[20:40, 1] = -3 + 0.01 * features[20:40, 1]
    features[40:, 1] *= 9
    selection = chosen(features, "noise_removal", treatments=treatments)
    assert selection.kept.tolist() == [1]
    assert selection.dropped == {"noise_removal": 1}
    assert chosen(features, "noise_removal", treatments=treatments, noise_cutoff=2).kept.tolist() == [0, 1]
    assert chosen(9 * features, "noise_removal").kept.tolist() == [0, 1]


def test_one_after_the_other() -> None:
    features = np.column_stack([noise(2), np.ones(ROWS), 600 * noise(1, 3)])
    features = np.column_stack([features, features[:, 0] + 1e-3 * noise(1, 4)[:, 0]])
    selection = chosen(features, "drop_outliers", "correlation_threshold", "variance_threshold")
    assert selection.dropped == {"drop_outliers": 1, "correlation_threshold": 1, "variance_threshold": 1}
    assert list(selection.dropped) == ["drop_outliers", "correlation_threshold", "variance_threshold"]
    assert len(selection.kept) == 2


def test_missing_values_come_first() -> None:
    features = noise(3)
    features[:2, 0] = np.nan  # 3 %
    features[:6, 2] = np.nan  # 10 %
    asked = FeatureSelectionSettings(operations=("variance_threshold", "drop_na_columns"))
    selection = drop_missing(features, asked)
    assert selection.kept.tolist() == [0, 1]
    assert selection.dropped == {"drop_na_columns": 1}
    strict = FeatureSelectionSettings(operations=("drop_na_columns",), missing_cutoff=0)
    assert drop_missing(features, strict).kept.tolist() == [1]
    assert drop_missing(features, FeatureSelectionSettings()).kept.tolist() == [0, 1, 2]
    with pytest.raises(ConfigurationError, match="drop_na_columns took 3"):
        drop_missing(np.full((4, 3), np.nan), strict)
