"""Cells drawn from wells: as many as asked for, none twice, and of the well that they are said to be of."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.profiling.cell_draws import CellDraws, draw_from_plates
from dp_assets.storage import profile_columns as roles
from dp_assets.storage.schemas import PLATE, WELL
from dp_assets.storage.tables import StoredTable
from dp_assets_tests.profiling.cell_tables import stored_cells

_WELLS = {"A01": 8, "A02": 3, "A03": 5, "B01": 6, "B02": 9, "B03": 4}
_CONTROLS = ("B01", "B02")


@pytest.fixture
def cells(tmp_path: Path) -> StoredTable:
    """Cell k of well w has the features (w, k); the last cell of A01 is not finite. B03 is in no profile."""
    sites = [("p", well, "1") for well, count in _WELLS.items() for _ in range(count)]
    values = [(number, k) for number, count in enumerate(_WELLS.values()) for k in range(count)]
    features = np.array(values, np.float32)
    features[7, 1] = np.nan
    return stored_cells(tmp_path, sites, features)


def _draws(cells: StoredTable, seed: int = 0) -> CellDraws:
    wells = [well for well in _WELLS if well != "B03"]
    table = pa.table(
        {
            PLATE: ["p"] * 5,
            WELL: wells,
            roles.TREATMENT: [f"t{well}" for well in wells],
            roles.COMPOUND: [f"c{well}" for well in wells],
            roles.LABEL: [""] * 5,
            roles.BATCH: ["b"] * 5,
            roles.CONTROL: ["true" if well in _CONTROLS else "false" for well in wells],
        }
    )
    return draw_from_plates(
        CellDraws(table, per_well=5, repeats=20, control_cells=8, seed=seed), {"p": cells}
    )


def test_every_repeat_has_as_many_different_cells_of_every_well(cells: StoredTable) -> None:
    repeats = list(_draws(cells).repeats())
    assert len(repeats) == 20
    for drawn in repeats:
        assert list(drawn.wells) == ["A01"] * 5 + ["A03"] * 5
        assert list(drawn.treatments) == [f"t{well}" for well in drawn.wells]
        assert list(drawn.features[:, 0]) == [0] * 5 + [2] * 5
        assert len(set(drawn.features[:5, 1])) == 5
        assert np.isfinite(drawn.features).all()
    # Of seven usable cells each is drawn in some repeat.
    assert {k for drawn in repeats for k in drawn.features[:5, 1]} == set(range(7))


def test_wells_with_too_few_cells_are_counted_once(cells: StoredTable) -> None:
    assert _draws(cells).too_few == 1


def test_control_wells_share_the_control_cells(cells: StoredTable) -> None:
    controls = _draws(cells).controls()
    assert sorted(controls[:, 0]) == [3] * 4 + [4] * 4
    assert len(np.unique(controls, axis=0)) == 8


def test_the_seed_decides(cells: StoredTable) -> None:
    first, again, other = (next(_draws(cells, seed).repeats()).features for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
