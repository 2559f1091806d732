"""Site profiles, and wells made of them, against pandas."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.config.errors import ConfigurationError, StoreError
from dp_assets.config.profile_sections import Summary
from dp_assets.config.protocol import CellAggregation
from dp_assets.profiling.site_table import site_table
from dp_assets.profiling.well_table import well_table, wells_of_sites
from dp_assets.storage.profile_columns import ROLES
from dp_assets.storage.schemas import PROFILES, SITE_PROFILES, WELL_PROFILES
from dp_assets_tests.profiling.cell_tables import feature_columns, feature_values, stored_cells, text_table

WIDTH = 3
NAMES = feature_columns(WIDTH)
PLACES = [("B01", "1"), ("B01", "2"), ("A01", "1"), ("A01", "2"), ("A01", "9"), ("C03", "1")]
KEY = ["Metadata_Well", "Metadata_Site"]


def annotations(**columns: list[str]) -> pa.Table:
    return text_table(
        {
            "Metadata_Plate": ["P1"] * len(PLACES),
            "Metadata_Well": [well for well, _ in PLACES],
            "Metadata_Site": [site for _, site in PLACES],
            "Metadata_Treatment": [f"t{well}" for well, _ in PLACES],
            "Metadata_Focus": [f"z{number}" for number in range(len(PLACES))],
            **columns,
        }
    )


def site_profiles(values: list[list[float]], **columns: list[str | None]) -> pa.Table:
    """Rows of B01, B01, A01, A01, A01, C03."""
    table = annotations(**columns)  # type: ignore[arg-type]
    for number, column in enumerate(zip(*values, strict=True)):
        table = table.append_column(f"net_{number}", pa.array(column, pa.float32()))
    return SITE_PROFILES.enforce(table)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.tuples(*[st.integers(0, 5)] * len(PLACES)),
    method=st.sampled_from(["mean", "median"]),
    of_wells=st.sampled_from(["mean", "median"]),
    minimum=st.integers(1, 3),
    minimum_of_wells=st.integers(1, 8),
    group=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_sites_and_their_wells_against_pandas(
    tmp_path_factory: pytest.TempPathFactory,
    counts: tuple[int, ...],
    method: Summary,
    of_wells: Summary,
    minimum: int,
    minimum_of_wells: int,
    group: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    places = [place for place, count in zip(PLACES, counts, strict=True) for _ in range(count)]
    values = rng.normal(10, 5, (len(places), WIDTH)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
    stored = stored_cells(
        tmp_path_factory.mktemp("sites"), [("P1", *place) for place in places], values, group
    )
    settled = CellAggregation(
        aggregation=method,
        well_aggregation=of_wells,
        minimum_cells=minimum_of_wells,
        minimum_cells_per_site=minimum,
    )
    sites = site_table(stored, annotations(), settled)

    frame = pd.DataFrame(values.astype(np.float64), columns=NAMES)
    frame[KEY] = places or np.empty((0, 2), dtype=object)
    usable = frame[np.isfinite(values).all(axis=1)]
    sizes = usable.groupby(KEY).size()
    kept = [place for place in PLACES if sizes.get(place, 0) >= minimum]
    expected = usable.groupby(KEY)[NAMES].agg(method).loc[kept]
    assert list(zip(*(sites.table[name].to_pylist() for name in KEY), strict=True)) == kept
    np.testing.assert_allclose(feature_values(sites.table), expected, rtol=1e-6, atol=1e-6)
    assert sites.cells == {place: sizes[place] for place in kept}
    assert sites.missing == tuple("/".join(place) for place in PLACES if place not in kept)
    assert (sites.excluded_cells, sites.outlier_cells) == (len(frame) - len(usable), 0)
    assert sites.table["Metadata_Focus"].to_pylist() == [f"z{PLACES.index(place)}" for place in kept]

    wells = wells_of_sites(sites.table, annotations(), settled)
    cells = sizes.loc[kept].groupby("Metadata_Well").sum()
    large = [well for well in ("B01", "A01", "C03") if cells.get(well, 0) >= minimum_of_wells]
    means = expected.groupby("Metadata_Well").agg(of_wells).loc[large]
    assert wells.table["Metadata_Well"].to_pylist() == large
    np.testing.assert_allclose(feature_values(wells.table), means, rtol=1e-5, atol=1e-5)
    assert wells.cells == {well: cells[well] for well in large}
    assert wells.table["Metadata_Cell_Count"].to_pylist() == [str(cells[well]) for well in large]
    assert wells.table["Metadata_Site_Count"].to_pylist() == [
        str(sum(place[0] == well for place in kept)) for well in large
    ]
    assert wells.table["Metadata_Treatment"].to_pylist() == [f"t{well}" for well in large]
    assert "Metadata_Focus" not in wells.table.column_names
    assert wells.missing == tuple(well for well in ("B01", "A01", "C03") if well not in large)
    assert WELL_PROFILES.problems(wells.table) == ()


def test_the_minimum_of_a_well_does_not_bear_on_its_sites(tmp_path: Path) -> None:
    stored = stored_cells(tmp_path, [("P1", "B01", "1")], np.ones((1, WIDTH)))
    assert site_table(stored, annotations(), CellAggregation(minimum_cells=50)).cells == {("B01", "1"): 1}


def test_outliers_are_those_of_the_well_at_both_levels(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    places = [("P1", "A01", "1")] * 12 + [("P1", "A01", "2")] * 13 + [("P1", "B01", "1")] * 3
    values = rng.normal(size=(28, WIDTH))
    values[[0, 12, 13, 27]] = 50.0
    stored = stored_cells(tmp_path, places, values, group=5)
    settled = CellAggregation(outlier_cells=8.0)
    sites = site_table(stored, annotations(), settled)
    wells = well_table(stored, annotations(), settled)
    # B01 has too few cells to tell
    assert (sites.outlier_cells, wells.outlier_cells) == (3, 3)
    assert sites.cells == {("A01", "1"): 11, ("A01", "2"): 11, ("B01", "1"): 3}
    assert wells.cells == {"A01": 22, "B01": 3}
    np.testing.assert_allclose(
        feature_values(sites.table)[:2].mean(axis=0), feature_values(wells.table)[0], rtol=1e-5, atol=1e-6
    )


def test_sites_that_the_index_does_not_list_any_more(tmp_path: Path) -> None:
    stored = stored_cells(tmp_path, [("P1", "B01", "1"), ("P1", "B01", "7")], np.ones((2, WIDTH)))
    with pytest.raises(StoreError, match="features of sites that the image index does not list: B01/7"):
        site_table(stored, annotations(), CellAggregation())


def test_published_protocols_of_wells() -> None:
    values = [[0.0], [10.0], [1.0], [2.0], [9.0], [5.0]]
    mean = wells_of_sites(site_profiles(values), None, CellAggregation(well_aggregation="mean")).table
    median = wells_of_sites(site_profiles(values), None, CellAggregation(well_aggregation="median")).table
    assert mean["Metadata_Well"].to_pylist() == ["B01", "A01", "C03"]
    assert feature_values(mean).ravel().tolist() == [5.0, 4.0, 5.0]
    assert feature_values(median).ravel().tolist() == [5.0, 2.0, 5.0]


def test_wells_of_sites_without_annotations_carry_what_the_sites_agree_on() -> None:
    sites = site_profiles([[0.0]] * 6, Metadata_Batch=["x"] * 6, Metadata_Cell_Count=["2", "3"] + ["1"] * 4)
    found = wells_of_sites(sites, None, CellAggregation(well_aggregation="mean", minimum_cells=2))
    assert found.table.column_names == [
        "Metadata_Plate",
        "Metadata_Well",
        "Metadata_Treatment",
        "Metadata_Batch",
        "Metadata_Cell_Count",
        "Metadata_Site_Count",
        "net_0",
    ]
    assert found.table["Metadata_Cell_Count"].to_pylist() == ["5", "3"]
    assert found.missing == ("C03",)


def test_columns_that_annotations_and_sites_have_come_from_the_annotations() -> None:
    # B01's second site has no cells, but it is part of the well.
    sites = site_profiles([[0.0]] * 6, Metadata_Stain=["a"] * 6).slice(2)
    listed = annotations(Metadata_Stain=["a", "b", "a", "a", "a", "a"])
    found = wells_of_sites(sites, listed, CellAggregation(well_aggregation="mean"))
    assert "Metadata_Stain" not in found.table.column_names
    assert found.missing == ("B01",)


def test_unknown_cell_counts_keep_the_well() -> None:
    sites = site_profiles([[1.0]] * 6, Metadata_Cell_Count=["1", "", "1", "1.0", "1", None])
    found = wells_of_sites(sites, None, CellAggregation(well_aggregation="mean", minimum_cells=4))
    assert found.table["Metadata_Well"].to_pylist() == ["B01", "C03"]
    assert found.table["Metadata_Cell_Count"].to_pylist() == ["", ""]
    assert found.cells == {}


def test_wells_of_several_plates_and_sites_that_do_not_lie_together() -> None:
    sites = site_profiles([[1.0], [2.0], [4.0], [8.0], [16.0], [32.0]])
    sites = sites.set_column(0, "Metadata_Plate", pa.array(["P1", "P2"] * 3))
    found = wells_of_sites(sites, None, CellAggregation(well_aggregation="mean"))
    keys = zip(
        found.table["Metadata_Plate"].to_pylist(), found.table["Metadata_Well"].to_pylist(), strict=True
    )
    assert list(keys) == [("P1", "B01"), ("P2", "B01"), ("P1", "A01"), ("P2", "A01"), ("P2", "C03")]
    assert feature_values(found.table).ravel().tolist() == [1.0, 2.0, 10.0, 8.0, 32.0]


def with_all_roles(**columns: list[str]) -> pa.Table:
    roles = {name: ["x"] * 6 for name in ROLES} | columns
    return site_profiles([[1.0]] * 6, **roles)  # type: ignore[arg-type]


def test_roles_survive_and_replicates_of_sites_are_none_of_the_well() -> None:
    sites = with_all_roles(Metadata_Replicate=["1", "2"] * 3)
    table = wells_of_sites(sites, None, CellAggregation(well_aggregation="mean")).table
    assert PROFILES.problems(table) == ()
    assert table["Metadata_Replicate"].to_pylist() == ["", "", ""]
    assert table["Metadata_Treatment"].to_pylist() == ["x", "x", "x"]


def test_sites_of_a_well_that_are_two_things_are_named() -> None:
    sites = with_all_roles(Metadata_Treatment=["a", "b", "c", "c", "c", "d"], Metadata_MOA=["m"] * 5 + ["n"])
    with pytest.raises(ConfigurationError, match='differ in Metadata_Treatment: "a", "b"') as caught:
        wells_of_sites(sites, None, CellAggregation(well_aggregation="mean"))
    assert [problem.where for problem in caught.value.problems] == ["plate P1, well B01"]


def test_sites_of_wells_that_the_index_does_not_list() -> None:
    with pytest.raises(StoreError, match="wells that the image index does not list: C03"):
        wells_of_sites(
            site_profiles([[1.0]] * 6), annotations().slice(0, 5), CellAggregation(well_aggregation="mean")
        )


def test_wells_of_cells_are_not_made_here() -> None:
    with pytest.raises(ValueError, match="'cells'"):
        wells_of_sites(site_profiles([[1.0]] * 6), None, CellAggregation())
