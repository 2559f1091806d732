"""Cells from tables of whole plates: every program's spellings, the index's order, and all that is wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from dp_assets.config.errors import LocationsError
from dp_assets.storage import location_tables
from dp_assets.storage.csv_strings import csv_parts, read_csv_strings
from dp_assets.storage.location_columns import MOST_CARRIED, recognise_columns
from dp_assets.storage.plate_tables import collect_locations
from dp_assets.storage.schemas import CELL_LOCATIONS
from dp_assets.storage.tables import read_provenance

X, Y = "Nuclei_Location_Center_X", "Nuclei_Location_Center_Y"
SITES = [("B01", "1"), ("A01", "1"), ("A01", "2")]
FORMATS = ("csv", "parquet")


def cells(plates: tuple[str, ...] = ("P1", "P2"), **more: object) -> pd.DataFrame:
    """Two cells in each of A01/2, A01/1, C01/1 of every plate; coordinates tell them apart."""
    rows = [
        {
            "Metadata_Plate": plate,
            "Metadata_Well": well,
            "Metadata_Site": site,
            X: 10.5 * number + cell,
            Y: number,
        }
        for number, (plate, (well, site)) in enumerate(
            (plate, key) for plate in plates for key in [("A01", 2), ("A01", 1), ("C01", 1)]
        )
        for cell in range(2)
    ]
    return pd.DataFrame(rows).assign(**more)


def save(frame: pd.DataFrame, folder: Path, name: str, **options: object) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".csv"):
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False, **options)
    return path


def collected(folder: Path | UPath, plate: str = "P1", sites: list[tuple[str, str]] = SITES) -> pa.Table:
    return CELL_LOCATIONS.enforce(collect_locations(plate, sites, folder, workers=2))


def places(table: pa.Table) -> list[tuple]:
    names = ("Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Cell", X, Y)
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


P1 = [
    ("P1", "A01", "1", "0", 10.5, 1.0),
    ("P1", "A01", "1", "1", 11.5, 1.0),
    ("P1", "A01", "2", "0", 0.0, 0.0),
    ("P1", "A01", "2", "1", 1.0, 0.0),
]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("options", [{}, {"row_group_size": 3}])
def test_a_table_of_many_plates(tmp_path: Path, ending: str, options: dict) -> None:
    save(cells(), tmp_path, f"single_cells.{ending}", **options if ending == "parquet" else {})
    table = collected(tmp_path)
    assert places(table) == P1
    assert read_provenance(table.schema) == {
        "sites": {"B01/1": 0, "A01/1": 2, "A01/2": 2},
        "without_file": [],
        "source": f"single_cells.{ending}",
    }
    assert [row[4] for row in places(collected(tmp_path, "P2"))] == [42.0, 43.0, 31.5, 32.5]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("named", [True, False])
def test_a_table_of_one_plate(tmp_path: Path, ending: str, named: bool) -> None:
    frame = cells(("P1",))
    save(frame if named else frame.drop(columns="Metadata_Plate"), tmp_path, f"P1.{ending}")
    save(cells(("P2",)), tmp_path, f"P2.{ending}")
    assert places(collected(tmp_path)) == P1


def test_tables_on_an_object_store(tmp_path: Path) -> None:
    folder = UPath("memory://locations")
    for name in ("many.parquet", "more.csv"):
        path = save(cells(("P1",) if name[2] == "n" else ("P2",)), tmp_path, name)
        (folder / name).write_bytes(path.read_bytes())
    assert places(collected(folder)) == P1
    assert len(places(collected(folder, "P2"))) == 4


COORDINATES = [
    "Nuclei_Location_Center",
    "Metadata_Nuclei_Location_Center",
    "Nuclei_AreaShape_Center",
    "Metadata_Nuclei_AreaShape_Center",
    "Location_Center",
    "AreaShape_Center",
]


@pytest.mark.parametrize("prefix", ["", "Image_"])
@pytest.mark.parametrize("name", COORDINATES)
@pytest.mark.parametrize("ending", FORMATS)
def test_spellings_of_other_programs(tmp_path: Path, name: str, prefix: str, ending: str) -> None:
    keys = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]
    spelled = {X: f"{name}_X", Y: f"{name}_Y", **{key: prefix + key for key in keys}}
    save(cells().rename(columns=spelled), tmp_path, f"cells.{ending}")
    assert places(collected(tmp_path)) == P1


def test_the_first_spelling_counts(tmp_path: Path) -> None:
    extra = {f"{name}_{axis}": -1.0 for name in COORDINATES[1:] for axis in "XY"}
    frame = cells(**extra, Image_Metadata_Well="Z99", Cells_Location_Center_X=-2.0)
    save(frame[sorted(frame.columns)], tmp_path, "cells.parquet")
    assert places(collected(tmp_path)) == P1


@pytest.mark.parametrize("ending", FORMATS)
def test_further_columns_come_along(tmp_path: Path, ending: str) -> None:
    frame = cells(("P1",), ObjectNumber=range(1, 7), Metadata_Batch="01", Class=list("abcdef"), Flag=True)
    frame["Area"] = [1.5, np.nan, 3, 4, 5, 6]
    table = collected(save(frame, tmp_path, f"cells.{ending}").parent)
    assert table["ObjectNumber"].to_pylist() == [3.0, 4.0, 1.0, 2.0]
    assert table["Metadata_Batch"].to_pylist() == ["01"] * 4
    assert table["Class"].to_pylist() == ["c", "d", "a", "b"]
    assert table["Flag"].to_pylist() == ["True"] * 4
    assert table["Area"].to_pylist()[:3] == [3.0, 4.0, 1.5]
    assert table["Area"].to_pylist()[3] is None or np.isnan(table["Area"].to_pylist()[3])


@pytest.mark.parametrize("ending", FORMATS)
def test_of_very_many_measurements_only_names_come_along(tmp_path: Path, ending: str) -> None:
    measured = {f"Nuclei_Texture_{number}": 1.0 for number in range(MOST_CARRIED)}
    frame = cells(("P1",), Metadata_Batch="x", Nuclei_Number_Object_Number=4, **measured)
    table = collected(save(frame, tmp_path, f"cells.{ending}").parent)
    assert table.column_names == [
        *CELL_LOCATIONS.required,
        "Metadata_Batch",
        "Nuclei_Number_Object_Number",
    ]
    assert places(table) == P1


def test_typed_identifiers_are_what_a_user_would_write(tmp_path: Path) -> None:
    frame = cells(("P1",)).assign(Metadata_Plate=20585)
    frame["Metadata_Site"] = frame["Metadata_Site"].astype(float)
    frame["Metadata_Well"] = frame["Metadata_Well"].astype("category")
    save(frame, tmp_path, "cells.parquet")
    assert [row[1:] for row in places(collected(tmp_path, "20585"))] == [row[1:] for row in P1]


@given(
    keys=st.lists(st.sampled_from(["A01/1", "A01/2", "B01/1", "Z/9"]), min_size=1, max_size=30),
    group=st.integers(1, 7),
)
@settings(max_examples=25, deadline=None)
def test_every_cell_of_the_index_is_there_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], group: int
) -> None:
    frame = pd.DataFrame(
        [(*key.split("/"), float(number), 0.0) for number, key in enumerate(keys)],
        columns=["Metadata_Well", "Metadata_Site", X, Y],
    )
    expected = [
        (well, site, str(n), float(number))
        for well, site in SITES
        for n, number in enumerate(n for n, key in enumerate(keys) if key == f"{well}/{site}")
    ]
    for ending in FORMATS:
        folder = tmp_path_factory.mktemp("t")
        save(frame, folder, f"P1.{ending}", **{"row_group_size": group} if ending == "parquet" else {})
        if not expected:
            with pytest.raises(LocationsError, match="no row fits"):
                collected(folder)
        else:
            assert [row[1:5] for row in places(collected(folder))] == expected


def wrong(folder: Path, message: str, plate: str = "P1") -> LocationsError:
    with pytest.raises(LocationsError, match=message) as caught:
        collected(folder, plate)
    return caught.value


@pytest.mark.parametrize("ending", FORMATS)
def test_one_plate_in_two_places(tmp_path: Path, ending: str) -> None:
    save(cells(), tmp_path, f"many.{ending}")
    save(cells(("P1",)), tmp_path, "P1.csv")
    error = wrong(tmp_path, "more than one place")
    assert str(tmp_path / f"many.{ending}") in str(error)
    assert str(tmp_path / "P1.csv") in str(error)
    (tmp_path / "P1.csv").unlink()
    (tmp_path / "P1").mkdir()
    (tmp_path / "P1/A01-1-Nuclei.csv").write_text(f"{X},{Y}\n1,2\n")
    assert str(tmp_path / "P1/A01-1-Nuclei.csv") in str(wrong(tmp_path, "more than one place"))
    assert len(places(collected(tmp_path, "P2"))) == 4


def test_files_per_site_go_on_beside_tables_of_other_plates(tmp_path: Path) -> None:
    save(cells(("P2",)), tmp_path, "many.parquet")
    save(cells(("P2",)).drop(columns="Metadata_Plate"), tmp_path, "notes.csv")
    (tmp_path / "P1").mkdir()
    (tmp_path / "P1/A01-1-Nuclei.csv").write_text(f"{X},{Y}\n1,2\n")
    table = collected(tmp_path)
    assert places(table) == [("P1", "A01", "1", "0", 1.0, 2.0)]
    assert read_provenance(table.schema)["without_file"] == ["B01/1", "A01/2"]


@pytest.mark.parametrize("ending", FORMATS)
def test_missing_columns_are_listed_with_those_understood(tmp_path: Path, ending: str) -> None:
    save(cells(("P1",)).rename(columns={X: "x", "Metadata_Site": "field"}), tmp_path, f"P1.{ending}")
    error = wrong(
        tmp_path, "no column Metadata_Site or Image_Metadata_Site; no column Nuclei_Location_Center_X"
    )
    assert "AreaShape_Center_X" in str(error)
    assert "columns are: Metadata_Plate, Metadata_Well, field, x, " in str(error)
    assert f"P1.{ending}" in error.problems[0].where


@pytest.mark.parametrize("ending", FORMATS)
def test_a_table_that_is_not_about_the_plate_need_not_be_understood(tmp_path: Path, ending: str) -> None:
    save(cells(("P1",)), tmp_path, "cells.parquet")
    save(pd.DataFrame({"Metadata_Plate": ["P9"], "Note": ["x"]}), tmp_path, f"other.{ending}")
    assert places(collected(tmp_path)) == P1
    wrong(tmp_path, "no column Metadata_Well", "P9")


@pytest.mark.parametrize("ending", FORMATS)
def test_a_plate_that_no_table_has(tmp_path: Path, ending: str) -> None:
    save(cells(), tmp_path, f"cells.{ending}")
    error = wrong(tmp_path, rf"no table has cells of plate P3: cells\.{ending} has P1, P2", "P3")
    assert "P3.csv" in error.problems[0].remedy
    save(cells(("p1",)), tmp_path, f"P1.{ending}")
    wrong(tmp_path, "named after plate P1, but is about p1")


@pytest.mark.parametrize("ending", FORMATS)
def test_sites_spelled_otherwise(tmp_path: Path, ending: str) -> None:
    frame = cells(("P1",)).astype({"Metadata_Site": str})
    frame["Metadata_Site"] = "0" + frame["Metadata_Site"]
    save(frame, tmp_path, f"P1.{ending}")
    error = wrong(
        tmp_path, "the table has well/site A01/02, A01/01, C01/01; the index has B01/1, A01/1, A01/2"
    )
    assert "1 and 01 differ" in error.problems[0].remedy


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("ending", "where"), [("csv", "line 4"), ("parquet", "row 3")])
def test_coordinates_that_are_none(tmp_path: Path, value: float, ending: str, where: str) -> None:
    frame = cells(("P0", "P1"))
    frame = pd.concat([frame[:2], frame[6:]])
    frame.iloc[2, 3] = value
    frame.loc[frame["Metadata_Well"] == "C01", Y] = np.nan
    save(frame, tmp_path, f"cells.{ending}", **{"row_group_size": 2} if ending == "parquet" else {})
    error = wrong(tmp_path, "is not a number")
    assert len(error.problems) == 1
    assert error.problems[0].where == f"{tmp_path / f'cells.{ending}'}, {where}, column {X}"


def test_no_rows_mean_no_cells(tmp_path: Path) -> None:
    for name, frame in [("P1.csv", cells(("P1",))[:0]), ("P2.parquet", cells(("P2",))[:0])]:
        save(frame, tmp_path, name)
    (tmp_path / "P3.csv").touch()
    for plate in ("P1", "P2", "P3"):
        table = collected(tmp_path, plate)
        assert table.num_rows == 0
        assert read_provenance(table.schema)["sites"] == {"B01/1": 0, "A01/1": 0, "A01/2": 0}


def test_files_that_are_no_table(tmp_path: Path) -> None:
    (tmp_path / "P1.parquet").write_bytes(b"PAR1 this is none")
    wrong(tmp_path, r"the table cannot be read")
    (tmp_path / "P1.parquet").write_bytes(save(cells(), tmp_path / "x", "a.parquet").read_bytes()[:-20])
    wrong(tmp_path, r"the table cannot be read")


def test_the_same_cells_give_the_same_content(tmp_path: Path) -> None:
    """A table and files per site differ in nothing but where they come from."""
    frame = cells(("P1",))
    tables = [collected(save(frame, tmp_path / ending, f"P1.{ending}").parent) for ending in FORMATS]
    for (well, site), group in frame.groupby(["Metadata_Well", "Metadata_Site"]):
        save(group[[X, Y]], tmp_path / "files", f"P1/{well}-{site}-Nuclei.csv")
    per_site = collected(tmp_path / "files")
    for table in tables:
        assert table.replace_schema_metadata().equals(per_site.replace_schema_metadata())


def test_memory_holds_some_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(cells(tuple(f"P{number}" for number in range(1, 51))), tmp_path, "cells.csv")
    whole = read_csv_strings(path, LocationsError)
    assert whole is not None
    parts = list(csv_parts(path, LocationsError, 5, cells_at_once=35))
    assert max(map(len, parts)) == 7
    pd.testing.assert_frame_equal(pd.concat(parts), whole)
    monkeypatch.setattr(
        location_tables, "csv_parts", lambda path, error, columns: csv_parts(path, error, columns, 35)
    )
    assert places(collected(tmp_path)) == P1
    groups = save(cells(), tmp_path / "q", "cells.parquet", row_group_size=2)
    assert pq.ParquetFile(groups).num_row_groups == 6
    read: list[int] = []
    original = pq.ParquetFile.read_row_group

    def counting(file: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
        read.extend([group] if len(columns) > 1 else [])
        return original(file, group, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counting)
    assert places(collected(groups.parent)) == P1
    assert read == [0, 1, 2]


def test_columns_are_recognised_in_a_stated_order() -> None:
    columns = [
        "Metadata_Well",
        "Metadata_Site",
        "AreaShape_Center_X",
        "AreaShape_Center_Y",
        "Location_Center_X",
    ]
    assert recognise_columns(columns, "t").x == "AreaShape_Center_X"
    found = recognise_columns([*columns, "Location_Center_Y"], "t")
    assert (found.x, found.y, found.plate) == ("Location_Center_X", "Location_Center_Y", None)
    assert found.carried == ("AreaShape_Center_X", "AreaShape_Center_Y")
