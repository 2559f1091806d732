"""Resizing against scikit-image."""

import numpy as np
import pytest
import skimage.transform
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.imaging.resizing import plane_resizer

sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))


@given(shape=sizes, new_shape=sizes, seed=st.integers(0, 99))
def test_resizing_is_that_of_skimage(shape: tuple[int, int], new_shape: tuple[int, int], seed: int) -> None:
    plane = np.random.default_rng(seed).integers(0, 65536, shape).astype(np.uint16)
    expected = skimage.transform.resize(
        plane, new_shape, order=1, mode="reflect", anti_aliasing=True, preserve_range=True
    )
    np.testing.assert_allclose(plane_resizer(shape, new_shape)(plane), expected, rtol=1e-9, atol=1e-7)


def test_same_size_changes_nothing() -> None:
    plane = np.random.default_rng(0).random((300, 301))
    np.testing.assert_array_equal(plane_resizer(plane.shape, plane.shape)(plane), plane)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        plane_resizer((5, 5), (0, 3))
    with pytest.raises(ValueError, match=r"\(4, 5\)"):
        plane_resizer((5, 5), (3, 3))(np.zeros((4, 5)))
