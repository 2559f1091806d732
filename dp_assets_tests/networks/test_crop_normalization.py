"""Normalisation in a compiled step against the one in memory."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dp_assets.imaging.masks import masked
from dp_assets.imaging.normalization import Normalization, normalize_crops
from dp_assets.networks.crop_normalization import CropNormalization

METHODS: tuple[Normalization, ...] = ("minmax", "zscore", "plate", "none")
DTYPES = ("uint8", "uint16", "float32")


def some_crops(dtype: str) -> np.ndarray:
    """Six crops of three channels: ordinary, flat, masked, faint on bright ground, one darker pixel."""
    generator = np.random.default_rng(0)
    top = 255 if dtype == "uint8" else 65535
    crops = generator.gamma(2, top / 12, (6, 24, 24, 3)).clip(0, top)
    crops[0, :, :, 1] = 0
    crops[1, :, :, 2] = top
    crops[1, :, :, 0] = top / 3
    crops[2] = masked(crops[2:3], generator.random((1, 24, 24)) < 0.4)[0]
    crops[3] = masked(crops[3:4], np.zeros((1, 24, 24), bool))[0]
    crops[4] = top - 8 + generator.integers(0, 8, (24, 24, 3))
    crops[5, :, :, 0] = top
    crops[5, 7, 3, 0] = top - 1
    return crops.astype(dtype)


def some_ranges(dtype: str) -> np.ndarray:
    """Grey levels of two plates; of one, a channel has no range."""
    top = 255 if dtype == "uint8" else 65535
    plates = np.array([[[0, 0.1, 0.2], [0.5, 0.4, 0.9]], [[0.1, 0.3, 0], [0.6, 0.3, 1]]]) * top
    return plates.astype(np.float32)[[0, 1, 1, 0, 1, 0]]


def inputs_of(method: Normalization, dtype: str) -> tuple[np.ndarray, ...]:
    ranges = (some_ranges(dtype),) if method == "plate" else ()
    return (some_crops(dtype), *ranges)


def in_memory(method: Normalization, dtype: str) -> np.ndarray:
    ranges = some_ranges(dtype)
    return normalize_crops(some_crops(dtype), method, (ranges[:, 0], ranges[:, 1]))


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_numbers_are_those_of_memory(method: Normalization, dtype: str, how: str) -> None:
    given = inputs_of(method, dtype)
    layer = CropNormalization(method)
    if how == "eager":
        found = layer(*given)
    else:
        symbols = [keras.Input(array.shape[1:], dtype=str(array.dtype)) for array in given]
        model = keras.Model(symbols, layer(*symbols))
        model.compile(jit_compile=how == "xla")
        found = model.predict_on_batch(list(given))
    found, expected = np.asarray(found), in_memory(method, dtype)
    assert found.dtype == np.float32
    # One grey level of 65,535 lies 0.004 from the next number in float32.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5 if method == "zscore" else 1e-6)
    if method in ("minmax", "zscore"):
        for crop, channel in ((0, 1), (1, 2), (1, 0), (3, 0)):
            np.testing.assert_array_equal(found[crop, :, :, channel], 0)
    if method == "plate":
        np.testing.assert_array_equal(found[1, :, :, 1], 0)
        assert expected[0].min() == 0
        assert expected[0, :, :, 0].max() == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_what_is_compared_is_not_trivial(method: Normalization, dtype: str) -> None:
    assert np.unique(in_memory(method, dtype)).size > 100


def test_half_precision_does_not_reach_it() -> None:
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        found = np.asarray(CropNormalization("minmax")(some_crops("uint16")))
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_allclose(found, in_memory("minmax", "uint16"), atol=1e-6)


def test_configuration_comes_back() -> None:
    layer = CropNormalization("zscore", name="normalization")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, CropNormalization)
    assert (again.method, again.name, again.dtype_policy.name) == ("zscore", "normalization", "float32")


@pytest.mark.parametrize("method", ["minmax", "plate"])
def test_grey_levels_belong_to_plate(method: Any) -> None:
    ranges = (some_ranges("uint8"),) if method == "minmax" else ()
    with pytest.raises(ValueError, match="Expected grey levels for the method plate only"):
        CropNormalization(method)(some_crops("uint8"), *ranges)


def test_unknown_methods() -> None:
    wrong: Any = "median"
    with pytest.raises(ValueError, match="Received 'median'"):
        CropNormalization(wrong)


PROGRAM = """
import sys
import keras, numpy as np
from pathlib import Path
from dp_assets.networks.crop_normalization import CropNormalization
from dp_assets_tests.networks.test_crop_normalization import DTYPES, METHODS, inputs_of
assert keras.backend.backend() == "jax"
for method in METHODS:
    for dtype in DTYPES:
        given = inputs_of(method, dtype)
        symbols = [keras.Input(array.shape[1:], dtype=str(array.dtype)) for array in given]
        model = keras.Model(symbols, CropNormalization(method)(*symbols))
        model.compile(jit_compile=True)
        np.save(Path(sys.argv[1]) / f"{method}_{dtype}.npy", model.predict_on_batch(list(given)))
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_jax_gives_the_same_numbers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for method in METHODS:
        for dtype in DTYPES:
            found = np.load(tmp_path / f"{method}_{dtype}.npy")
            atol = 2e-5 if method == "zscore" else 1e-6
            np.testing.assert_allclose(found, in_memory(method, dtype), rtol=1e-5, atol=atol)
