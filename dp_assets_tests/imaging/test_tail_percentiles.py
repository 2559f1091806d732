"""Percentiles at the ends of many values equal those of numpy bit for bit, also where a sample misleads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dp_assets.imaging import tail_percentiles as module
from dp_assets.imaging.tail_percentiles import tail_percentiles

PERCENTILES = (0.05, 99.95)


def expected(values: np.ndarray, lower: float, upper: float) -> tuple[float, float]:
    low, high = np.percentile(values, (lower, upper))
    return float(low), float(high)


@given(
    hnp.arrays(
        np.float64, st.integers(1, 400), elements=st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 2.0])
    ),
    st.floats(0, 100),
    st.floats(0, 100),
)
def test_few_values_and_any_percentiles(values: np.ndarray, lower: float, upper: float) -> None:
    assert tail_percentiles(values, lower, upper) == expected(values, lower, upper)


@pytest.mark.parametrize("shape", [(1080, 1080), (333, 1001), (130, 130)])
@pytest.mark.parametrize("kind", ["noise", "levels", "constant", "one bright spot", "ramp"])
def test_images(shape: tuple[int, int], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    function = rng.uniform(1, 1.5, shape)
    image = {
        "noise": rng.gamma(2, 900, shape),
        "levels": rng.integers(0, 4, shape).astype(float),
        "constant": np.full(shape, 7.0),
        "one bright spot": np.where(np.arange(shape[0] * shape[1]).reshape(shape) < 900, 60_000.0, 10.0),
        "ramp": np.linspace(0, 65535, shape[0] * shape[1]).reshape(shape),
    }[kind]
    wanted = [expected(image, *PERCENTILES), expected(image / function, *PERCENTILES)]
    monkeypatch.setattr(np, "percentile", lambda *_: pytest.fail("all values were put in order"))
    assert [tail_percentiles(image, *PERCENTILES), tail_percentiles(image / function, *PERCENTILES)] == wanted


def test_a_sample_that_is_not_like_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value that is looked at first is an extreme one: what lies beyond is too little."""
    values = np.tile(np.r_[-1e9, np.arange(1.0, 64.0)], 64)
    values[::64] += np.arange(64)
    monkeypatch.setattr(module, "_SAMPLE", len(values) // 64)
    assert tail_percentiles(values, 1.7, 99) == expected(values, 1.7, 99)
