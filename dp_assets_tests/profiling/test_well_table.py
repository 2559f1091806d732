"""Well profiles against pandas, with the annotations that hold for whole wells."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.config.errors import StoreError
from dp_assets.profiling.well_table import well_table
from dp_assets.storage.schemas import CELL_FEATURES, CELL_KEY, WELL_PROFILES
from dp_assets.storage.tables import StoredTable, TableStream, write_table

WIDTH = 3
NAMES = [f"net_{n}" for n in range(WIDTH)]
SCHEMA = pa.schema([*((n, pa.string()) for n in CELL_KEY), *((n, pa.float32()) for n in NAMES)])
WELLS = ("B01", "A01", "A02", "C03")


def features_table(folder: Path, wells: list[str], values: np.ndarray, group: int = 4) -> StoredTable:
    def groups() -> Iterator[pa.Table]:
        for start in range(0, len(wells), group):
            part = slice(start, start + group)
            count = len(wells[part])
            cells = [str(start + n) for n in range(count)]
            columns = [["P1"] * count, wells[part], ["1"] * count, cells, *values[part].T]
            yield pa.Table.from_arrays(
                [pa.array(c, t) for c, t in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA
            )

    path = folder / "f.parquet"
    write_table(path, TableStream(SCHEMA, groups, {"fingerprint": "made of"}), CELL_FEATURES)
    return StoredTable(path)


def annotations(wells: tuple[str, ...] = WELLS, **columns: list[str]) -> pa.Table:
    """Two sites in every well."""
    twice = [well for well in wells for _ in range(2)]
    facts = {
        "Metadata_Plate": ["P1"] * len(twice),
        "Metadata_Well": twice,
        "Metadata_Site": ["1", "2"] * len(wells),
        "Metadata_Treatment": [f"t{well}" for well in twice],
        "Metadata_Focus": [f"z{n}" for n in range(len(twice))],
        **columns,
    }
    return pa.table({name: pa.array(values, pa.string()) for name, values in facts.items()})


COUNTS = st.tuples(*[st.integers(0, 6)] * len(WELLS))


@settings(max_examples=80, deadline=None)
@given(
    counts=COUNTS,
    method=st.sampled_from(["mean", "median"]),
    minimum=st.integers(1, 3),
    group=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_against_pandas(
    tmp_path_factory: pytest.TempPathFactory,
    counts: tuple[int, ...],
    method: str,
    minimum: int,
    group: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    wells = [well for well, count in zip(WELLS, counts, strict=True) for _ in range(count)]
    values = rng.normal(100, 50, (len(wells), WIDTH)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
    stored = features_table(tmp_path_factory.mktemp("wells"), wells, values, group)
    found = well_table(stored, annotations(), method, minimum)  # type: ignore[arg-type]

    frame = pd.DataFrame(values.astype(np.float64), columns=NAMES).assign(well=wells)
    usable = frame[np.isfinite(values).all(axis=1)]
    sizes = usable.groupby("well").size()
    kept = [well for well in WELLS if sizes.get(well, 0) >= minimum]
    expected = usable.groupby("well")[NAMES].agg(method).loc[kept]
    assert found.table["Metadata_Well"].to_pylist() == kept
    np.testing.assert_allclose(
        np.stack([found.table[name].to_numpy() for name in NAMES], axis=1), expected, rtol=1e-6, atol=1e-6
    )
    assert found.cells == {well: sizes[well] for well in kept}
    assert found.table["Metadata_Cell_Count"].to_pylist() == [str(sizes[well]) for well in kept]
    assert found.missing == tuple(well for well in WELLS if well not in kept)
    assert found.excluded_cells == len(frame) - len(usable)
    assert found.table["Metadata_Treatment"].to_pylist() == [f"t{well}" for well in kept]
    assert WELL_PROFILES.problems(found.table) == ()


def test_only_what_holds_for_the_whole_well_is_carried_over(tmp_path: Path) -> None:
    stored = features_table(tmp_path, ["A01", "A01"], np.ones((2, WIDTH)))
    plates = annotations(("A01", "A02"), Metadata_Dose=["1", "1", "2", ""], Metadata_Batch=["x"] * 4)
    table = well_table(stored, plates, "mean", 1).table
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
    stored = features_table(tmp_path, ["A01"], np.ones((1, WIDTH)))
    table = well_table(stored, annotations(("A01",)).slice(0, 1), "mean", 1).table
    assert "Metadata_Site" not in table.column_names
    assert table["Metadata_Focus"].to_pylist() == ["z0"]


def test_a_plate_without_cells_has_no_profiles(tmp_path: Path) -> None:
    stored = features_table(tmp_path, [], np.ones((0, WIDTH)))
    found = well_table(stored, annotations(), "median", 1)
    assert found.table.num_rows == 0
    assert found.table.column_names[-WIDTH:] == NAMES
    assert (found.missing, found.cells, found.excluded_cells) == (WELLS, {}, 0)


def test_wells_that_the_index_does_not_list_any_more(tmp_path: Path) -> None:
    stored = features_table(tmp_path, ["A01", "D09", "E01"], np.ones((3, WIDTH)))
    with pytest.raises(StoreError, match="does not list: D09, E01") as caught:
        well_table(stored, annotations(), "mean", 1)
    assert caught.value.problems[0].where.endswith("f.parquet")
    assert "materialize cell_features" in caught.value.problems[0].remedy


def test_a_damaged_features_table_is_named(tmp_path: Path) -> None:
    stored = features_table(tmp_path, ["A01"], np.ones((1, WIDTH)))
    stored.path.write_bytes(stored.path.read_bytes()[:-20])
    with pytest.raises(StoreError, match="cannot be read"):
        well_table(stored, annotations(), "mean", 1)
