"""Normalization against plain numpy, for dead units and plates with two controls too."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import RobustScaler, StandardScaler

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.protocol import Normalization
from dp_assets.profiling.normalization import normalize_features

METHODS = ("standardize", "robustize", "mad_robustize")
PLATES = np.array(["P1"] * 9 + ["P2"] * 7 + ["P3"] * 6, object)
IS_CONTROL = np.isin(np.arange(22), [0, 1, 2, 3, 10, 11, 12, 16, 21])  # P3 has two


def features_of(seed: int, width: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(rng.normal(0, 50, width), rng.uniform(0.1, 9, width), (len(PLATES), width))


def oracle(values: np.ndarray, reference: np.ndarray, method: str) -> np.ndarray:
    if method == "standardize":
        return StandardScaler().fit(reference).transform(values)
    if method == "robustize":
        return RobustScaler().fit(reference).transform(values)
    median = np.median(reference, axis=0)
    return (values - median) / (1.4826 * np.median(np.abs(reference - median), axis=0))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), method=st.sampled_from(METHODS), against=st.sampled_from(["controls", "all"])
)
def test_every_plate_by_its_own(seed: int, method: str, against: str) -> None:
    features = features_of(seed)
    result = normalize_features(
        features, PLATES, IS_CONTROL, Normalization(method=method, by="plate", reference=against)
    )
    for plate in ("P1", "P2", "P3"):
        rows = plate == PLATES
        reference = features[rows & IS_CONTROL] if against == "controls" else features[rows]
        np.testing.assert_allclose(
            result.features[rows], oracle(features[rows], reference, method), rtol=1e-9
        )
        assert result.references[plate] == len(reference)
    assert result.unscaled == {}


@pytest.mark.parametrize("method", METHODS)
def test_over_everything(method: str) -> None:
    features = features_of(1)
    groups = np.full(len(PLATES), "all", object)
    result = normalize_features(features, groups, IS_CONTROL, Normalization(method=method, by="all"))
    np.testing.assert_allclose(result.features, oracle(features, features[IS_CONTROL], method), rtol=1e-9)
    assert result.references == {"all": 9}


def test_none_changes_nothing() -> None:
    features = features_of(2).astype(np.float32)
    result = normalize_features(features, PLATES, np.zeros(22, bool), Normalization(method="none"))
    np.testing.assert_array_equal(result.features, features)
    assert result.features.dtype == np.float64


@pytest.mark.parametrize("method", METHODS)
def test_dead_units_are_centred_and_not_scaled(method: str) -> None:
    """One is constant but for a treated well, which is 7 above; one differs in its last digit only."""
    features = features_of(3)
    features[:, 1] = 0.1
    features[5, 1] = 7.1
    # constant but for the last digit of float32
    features[:, 2] = np.where(np.arange(22) % 2, 1, np.nextafter(np.float32(1), np.float32(2)))
    result = normalize_features(features, PLATES, IS_CONTROL, Normalization(method=method))
    assert np.isfinite(result.features).all()
    assert result.features[5, 1] == pytest.approx(7.0)
    np.testing.assert_allclose(np.delete(result.features[:, 1], 5), 0, atol=1e-12)
    assert np.abs(result.features[:, 2]).max() < 1e-6
    assert result.unscaled == {"P1": 2, "P2": 2, "P3": 2}


def test_a_feature_with_one_common_value_has_no_robust_scale() -> None:
    features = features_of(3)
    features[:4, 0] = [0, 0, 0, 5]
    robust = normalize_features(features, PLATES, IS_CONTROL, Normalization(method="mad_robustize"))
    assert robust.unscaled == {"P1": 1}
    assert robust.features[3, 0] == pytest.approx(5)
    plain = normalize_features(features, PLATES, IS_CONTROL, Normalization(method="standardize"))
    assert plain.unscaled == {}


def test_all_features_dead() -> None:
    features = np.ones((22, 3))
    result = normalize_features(features, PLATES, IS_CONTROL, Normalization(method="mad_robustize"))
    np.testing.assert_array_equal(result.features, np.zeros((22, 3)))


def test_two_controls_give_plus_and_minus_one() -> None:
    features = features_of(4)
    result = normalize_features(features, PLATES, IS_CONTROL, Normalization(method="standardize"))
    np.testing.assert_allclose(np.abs(result.features[[16, 21]]), 1, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_float32_loses_no_precision(method: str) -> None:
    """Offsets of 1e5 with a spread of 1: float32 arithmetic would be off by percents."""
    features = (features_of(5) / 9 + 1e5).astype(np.float32)
    single = normalize_features(features, PLATES, IS_CONTROL, Normalization(method=method)).features
    rows = PLATES == "P1"
    exact = oracle(features[rows].astype(np.float64), features[rows & IS_CONTROL].astype(np.float64), method)
    np.testing.assert_allclose(single[rows], exact, rtol=1e-9, atol=1e-9)


def test_the_input_stays() -> None:
    features = features_of(6)
    before = features.copy()
    normalize_features(features, PLATES, IS_CONTROL, Normalization(method="standardize"))
    np.testing.assert_array_equal(features, before)


def test_too_few_controls_are_named() -> None:
    few = IS_CONTROL.copy()
    few[[16, 10, 11]] = False
    with pytest.raises(ConfigurationError) as caught:
        normalize_features(features_of(7), PLATES, few, Normalization(method="standardize"))
    message = str(caught.value)
    assert "fewer than two controls" in message
    assert "2 of 3 plates: P2, P3" in message
    assert '"reference": "all"' in message
    assert '"by": "batch" or "all"' in message


def test_no_control_at_all_is_a_matter_of_their_name() -> None:
    with pytest.raises(ConfigurationError, match="no profile is a control") as caught:
        normalize_features(
            features_of(7), PLATES, np.zeros(len(PLATES), bool), Normalization(method="standardize")
        )
    assert "profiles.control_values" in str(caught.value)
    assert '"reference": "all"' in str(caught.value)


def test_too_few_profiles_are_named() -> None:
    settings_ = Normalization(method="standardize", by="batch", reference="all")
    with pytest.raises(ConfigurationError, match="1 of 2 batches: b2") as caught:
        normalize_features(
            np.ones((3, 2)), np.array(["b1", "b1", "b2"], object), np.zeros(3, bool), settings_
        )
    assert "reference" not in str(caught.value)


@pytest.mark.parametrize("method", METHODS)
def test_many_features_in_blocks(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    features = features_of(8, width=7)
    features[:, 2] = 1
    whole = normalize_features(features, PLATES, IS_CONTROL, Normalization(method=method))
    monkeypatch.setattr("dp_assets.profiling.normalization._FEATURES_AT_ONCE", 2)
    blocks = normalize_features(features, PLATES, IS_CONTROL, Normalization(method=method))
    np.testing.assert_array_equal(blocks.features, whole.features)
    assert blocks.unscaled == {"P1": 1, "P2": 1, "P3": 1}
