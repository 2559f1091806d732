"""The grid of full-image mode."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.config.errors import ConfigurationError
from dp_assets.imaging.cropping import CropGeometry, crop_cells
from dp_assets.imaging.full_image import grid_cells


def test_the_grid_of_the_recorded_project() -> None:
    cells = grid_cells((512, 512), 256)
    assert cells.names == ("0", "1", "2", "3")
    np.testing.assert_array_equal(cells.centres, [(128, 128), (128, 384), (384, 128), (384, 384)])


def test_a_wide_image_row_by_row() -> None:
    cells = grid_cells((510, 1024), 400)
    expected = [(row, col) for row in (200, 310) for col in (200, 512, 824)]
    np.testing.assert_array_equal(cells.centres, expected)
    np.testing.assert_array_equal(grid_cells((1024, 510), 400).centres, sorted((c, r) for r, c in expected))


def test_one_window_is_centred() -> None:
    np.testing.assert_array_equal(grid_cells((100, 100), 100).centres, [(50, 50)])
    # As wide as the image: centred across the shorter side too, and 0 beyond it.
    np.testing.assert_array_equal(grid_cells((60, 100), 100).centres, [(30, 50)])
    crop = crop_cells(
        np.ones((60, 100, 1), np.uint8),
        grid_cells((60, 100), 100).centres,
        CropGeometry(50, view_size=100),
        (60, 100),
    )[0, :, :, 0]
    assert not crop[:10].any()
    assert not crop[-10:].any()
    assert crop[11:39].all()


@given(rows=st.integers(1, 400), cols=st.integers(1, 400), view=st.integers(1, 400))
def test_windows_cover_the_image_and_stay_inside(rows: int, cols: int, view: int) -> None:
    if view > max(rows, cols):
        with pytest.raises(ConfigurationError, match=f"view_size is {view}, but the images are {rows} x"):
            grid_cells((rows, cols), view)
        return
    cells = grid_cells((rows, cols), view)
    assert len(cells.names) == len(cells.centres) == math.ceil(rows / view) * math.ceil(cols / view)
    for axis, size in enumerate((rows, cols)):
        places = np.unique(cells.centres[:, axis])
        assert np.allclose(np.diff(places, n=2), 0)
        edges = np.concatenate([[0.0], places - view / 2, [float(size)]]), places + view / 2
        # No gap between a window and the next, none before the first or after the last.
        assert (edges[0][1:-1] <= np.concatenate([[0.0], edges[1][:-1]]) + 1e-9).all()
        assert edges[1][-1] >= size - 1e-9
        if view <= size:
            assert edges[0][1] == 0
            assert np.isclose(edges[1][-1], size)


def test_a_view_larger_than_the_image_names_the_key() -> None:
    with pytest.raises(ConfigurationError) as caught:
        grid_cells((510, 1024), 1025)
    [problem] = caught.value.problems
    assert problem.where == "dataset.locations.view_size"
    assert "1024" in problem.remedy
