"""Well profiles from cells against pandas, with the annotations that hold for whole wells."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.config.errors import StoreError
from dp_assets.config.profile_sections import Summary
from dp_assets.config.protocol import CellAggregation
from dp_assets.profiling.well_table import well_table
from dp_assets.storage.schemas import WELL_PROFILES
from dp_assets.storage.tables import StoredTable
from dp_assets_tests.profiling.cell_tables import feature_columns, feature_values, stored_cells, text_table

WIDTH = 3
NAMES = feature_columns(WIDTH)
WELLS = ("B01", "A01", "A02", "C03")
CELLS = CellAggregation()


def cells_of(folder: Path, wells: list[str], values: np.ndarray, group: int = 4) -> StoredTable:
    return stored_cells(folder, [("P1", well, "1") for well in wells], values, group)


def annotations(wells: tuple[str, ...] = WELLS, **columns: list[str]) -> pa.Table:
    """Two sites in every well."""
    twice = [well for well in wells for _ in range(2)]
    return text_table(
        {
            "Metadata_Plate": ["P1"] * len(twice),
            "Metadata_Well": twice,
            "Metadata_Site": ["1", "2"] * len(wells),
            "Metadata_Treatment": [f"t{well}" for well in twice],
            "Metadata_Focus": [f"z{n}" for n in range(len(twice))],
            **columns,
        }
    )


@settings(max_examples=80, deadline=None)
@given(
    counts=st.tuples(*[st.integers(0, 6)] * len(WELLS)),
    method=st.sampled_from(["mean", "median"]),
    minimum=st.integers(1, 3),
    group=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_against_pandas(
    tmp_path_factory: pytest.TempPathFactory,
    counts: tuple[int, ...],
    method: Summary,
    minimum: int,
    group: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    wells = [well for well, count in zip(WELLS, counts, strict=True) for _ in range(count)]
    values = rng.normal(100, 50, (len(wells), WIDTH)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
    stored = cells_of(tmp_path_factory.mktemp("wells"), wells, values, group)
    found = well_table(stored, annotations(), CellAggregation(aggregation=method, minimum_cells=minimum))

    frame = pd.DataFrame(values.astype(np.float64), columns=NAMES).assign(well=wells)
    usable = frame[np.isfinite(values).all(axis=1)]
    sizes = usable.groupby("well").size()
    kept = [well for well in WELLS if sizes.get(well, 0) >= minimum]
    expected = usable.groupby("well")[NAMES].agg(method).loc[kept]
    assert found.table["Metadata_Well"].to_pylist() == kept
    np.testing.assert_allclose(feature_values(found.table), expected, rtol=1e-6, atol=1e-6)
    assert found.cells == {well: sizes[well] for well in kept}
    assert found.table["Metadata_Cell_Count"].to_pylist() == [str(sizes[well]) for well in kept]
    assert found.missing == tuple(well for well in WELLS if well not in kept)
    assert found.excluded_cells == len(frame) - len(usable)
    assert found.table["Metadata_Treatment"].to_pylist() == [f"t{well}" for well in kept]
    assert WELL_PROFILES.problems(found.table) == ()


def test_only_what_holds_for_the_whole_well_is_carried_over(tmp_path: Path) -> None:
    stored = cells_of(tmp_path, ["A01", "A01"], np.ones((2, WIDTH)))
    plates = annotations(("A01", "A02"), Metadata_Dose=["1", "1", "2", ""], Metadata_Batch=["x"] * 4)
    table = well_table(stored, plates, CELLS).table
    assert table.column_names == [
        "Metadata_Plate",
        "Metadata_Well",
        "Metadata_Treatment",
        "Metadata_Batch",
        "Metadata_Cell_Count",
        *NAMES,
    ]
    assert table.schema.field("net_0").type == pa.float32()
    assert table["Metadata_Plate"].to_pylist() == ["P1"]


def test_a_well_with_one_site_keeps_its_annotations_but_not_the_site(tmp_path: Path) -> None:
    stored = cells_of(tmp_path, ["A01"], np.ones((1, WIDTH)))
    table = well_table(stored, annotations(("A01",)).slice(0, 1), CELLS).table
    assert "Metadata_Site" not in table.column_names
    assert table["Metadata_Focus"].to_pylist() == ["z0"]


def test_an_empty_annotation_stays_empty(tmp_path: Path) -> None:
    stored = cells_of(tmp_path, ["A01", "A02"], np.ones((2, WIDTH)))
    plates = annotations(("A01", "A02"), Metadata_Dose=["1", "1", None, None])  # type: ignore[list-item]
    assert well_table(stored, plates, CELLS).table["Metadata_Dose"].to_pylist() == ["1", None]


def test_a_plate_without_cells_has_no_profiles(tmp_path: Path) -> None:
    found = well_table(cells_of(tmp_path, [], np.ones((0, WIDTH))), annotations(), CELLS)
    assert found.table.num_rows == 0
    assert found.table.column_names[-WIDTH:] == NAMES
    assert found.table.column_names[:3] == ["Metadata_Plate", "Metadata_Well", "Metadata_Treatment"]
    assert (found.missing, found.cells, found.excluded_cells) == (WELLS, {}, 0)


def test_outlier_cells_are_left_out_and_counted(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(30, WIDTH))
    values[11] = 40.0
    stored = cells_of(tmp_path, ["A01"] * 30, values, group=7)
    found = well_table(stored, annotations(), CellAggregation(outlier_cells=6.0))
    assert (found.outlier_cells, found.cells) == (1, {"A01": 29})
    np.testing.assert_allclose(
        feature_values(found.table)[0], np.delete(values, 11, axis=0).mean(axis=0), rtol=1e-5, atol=1e-6
    )


def test_wells_of_several_plates_are_told_apart(tmp_path: Path) -> None:
    stored = stored_cells(
        tmp_path, [("P1", "A01", "1"), ("P2", "A01", "1")], np.array([[1.0, 2, 3], [4, 5, 6]])
    )
    both = text_table(
        {
            "Metadata_Plate": ["P1", "P2", "P2"],
            "Metadata_Well": ["A01", "A01", "A02"],
            "Metadata_Site": ["1"] * 3,
            "Metadata_Dose": ["low", "high", "low"],
        }
    )
    found = well_table(stored, both, CELLS)
    assert found.table["Metadata_Dose"].to_pylist() == ["low", "high"]
    assert feature_values(found.table).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert found.cells == {"P1/A01": 1, "P2/A01": 1}
    assert found.missing == ("P2/A02",)


def test_wells_that_the_index_does_not_list_any_more(tmp_path: Path) -> None:
    stored = cells_of(tmp_path, ["A01", "D09", "E01"], np.ones((3, WIDTH)))
    with pytest.raises(StoreError, match="does not list: D09, E01") as caught:
        well_table(stored, annotations(), CELLS)
    assert caught.value.problems[0].where.endswith("f.parquet")
    assert "materialize cell_features" in caught.value.problems[0].remedy


def test_a_damaged_features_table_is_named(tmp_path: Path) -> None:
    stored = cells_of(tmp_path, ["A01"], np.ones((1, WIDTH)))
    stored.path.write_bytes(stored.path.read_bytes()[:-20])
    with pytest.raises(StoreError, match="cannot be read"):
        well_table(stored, annotations(), CELLS)


def test_wells_of_sites_are_not_made_here(tmp_path: Path) -> None:
    stored = cells_of(tmp_path, ["A01"], np.ones((1, WIDTH)))
    with pytest.raises(ValueError, match="'mean'"):
        well_table(stored, annotations(), CellAggregation(well_aggregation="mean"))
