"""The codec of crop windows is lossless for whatever a camera can produce."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dp_assets.storage.crop_codec import decode_window, encode_window

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@given(data=st.data())
def test_what_comes_back_is_what_went_in(dtype: str, data: st.DataObject) -> None:
    window = data.draw(hnp.arrays(np.dtype(dtype), SHAPES))
    found = decode_window(encode_window(window), window.shape, window.dtype)
    assert found.dtype == window.dtype
    np.testing.assert_array_equal(found, window)


def test_views_are_encoded_like_copies() -> None:
    image = np.random.default_rng(0).integers(0, 65536, (20, 20, 4), dtype=np.uint16)
    view = image[3:15:2, 4:10, ::-1]
    assert encode_window(view) == encode_window(view.copy())


def test_smooth_windows_become_smaller() -> None:
    rows, cols = np.mgrid[:96, :96]
    window = np.stack([1000 + 50 * rows + 3 * cols, 30000 - 9 * cols], axis=-1).astype(np.uint16)
    assert len(encode_window(window)) < window.nbytes / 10
