"""Statistics of features in a stream, against pandas on the whole table."""

from pathlib import Path

import numpy as np
import pytest

from dp_assets.profiling.feature_statistics import feature_statistics
from dp_assets_tests.profiling.cell_tables import stored_cells

SITES = [("P1", f"A{number // 4 + 1:02d}", "1") for number in range(22)]


@pytest.mark.parametrize("group", [1, 4, 100])
def test_the_stream_says_what_the_whole_table_says(tmp_path: Path, group: int) -> None:
    values = np.random.default_rng(0).normal(size=(22, 7)).astype(np.float32)
    values[:, 2] = 1.5
    values[:, 5] = 0
    values[3, 1] = np.nan
    values[[3, 9], 4] = [np.inf, -np.inf]
    values[:, 6] = np.nan
    frame = (stored := stored_cells(tmp_path, SITES, values, group)).read().to_pandas()
    features = frame.filter(like="net_")
    bad = ~np.isfinite(features)
    found = feature_statistics(stored.row_groups())
    assert found["cells"] == 22
    assert found["features"] == 7
    assert found["not_finite"] == {name: int(n) for name, n in bad.sum().items() if n}
    assert found["not_finite_features"] == 3
    expected = bad.any(axis=1).groupby(frame["Metadata_Well"]).sum()
    assert found["not_finite_wells"] == {well: n for well, n in expected.items() if n}
    assert found["constant"] == ["net_2", "net_5"]
    assert found["constant_features"] == 2


def test_a_single_cell_has_no_constant_features(tmp_path: Path) -> None:
    stored = stored_cells(tmp_path, SITES[:1], np.zeros((1, 3), np.float32))
    assert feature_statistics(stored.row_groups())["constant_features"] == 0


def test_no_cells() -> None:
    assert feature_statistics([])["features"] == 0
