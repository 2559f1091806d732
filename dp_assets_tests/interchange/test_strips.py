"""Strips: channels side by side, there and back."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dp_assets.config.errors import ImageFileError
from dp_assets.interchange.strips import as_strip, read_strip, stretched_strip
from dp_assets.storage.image_codecs import encode_png
from dp_assets_tests.interchange.made_crops import strip_of


def test_channels_lie_side_by_side() -> None:
    crop = np.arange(24).reshape(2, 4, 3)
    expected = np.concatenate([crop[:, :, 0], crop[:, :, 1], crop[:, :, 2]], axis=1)
    np.testing.assert_array_equal(as_strip(crop), expected)


@given(
    crop=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4)),
        elements=st.floats(0, 1, width=32),
    )
)
def test_stretch(crop: np.ndarray) -> None:
    strip = stretched_strip(crop)
    assert strip.dtype == np.uint8
    if crop.min() == crop.max():
        assert not strip.any()
    else:
        np.testing.assert_array_equal(strip, strip_of(crop))
        assert (strip.min(), strip.max()) == (0, 255)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_reading_undoes_writing(tmp_path: Path, dtype: type[np.unsignedinteger]) -> None:
    crop = np.random.default_rng(0).integers(0, 256, (7, 7, 4)).astype(dtype)
    (tmp_path / "a.png").write_bytes(encode_png(as_strip(crop)))
    for box in (None, 7):
        found = read_strip(tmp_path / "a.png", box)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, crop)


def test_recorded_strips(golden: Path) -> None:
    strip = read_strip(golden / "single-cells/SYN00001/A02/1/0@316.133x356.195.png")
    assert strip.shape == (96, 96, 5)
    # Every channel was stretched by itself before the strip was.
    assert [(plane.min(), plane.max()) for plane in np.moveaxis(strip, 2, 0)] == [(0, 255)] * 5


@pytest.mark.parametrize(
    ("shape", "box", "what"),
    [
        ((7, 20), None, "7 x 20 .*expected a row of squares, one"),
        ((7, 14), 8, "expected a row of squares of 8"),
    ],
)
def test_images_that_are_no_strips(tmp_path: Path, shape: tuple[int, int], box: int, what: str) -> None:
    (tmp_path / "a.png").write_bytes(encode_png(np.zeros(shape, np.uint8)))
    with pytest.raises(ImageFileError, match=what) as caught:
        read_strip(tmp_path / "a.png", box)
    assert caught.value.problems[0].where == str(tmp_path / "a.png")
