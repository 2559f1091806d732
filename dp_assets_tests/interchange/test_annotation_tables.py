"""Annotation tables joined to rows of profiles: keys, spellings, contradictions, the tables of BBBC021."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.interchange.annotation_tables import AnnotationTable, Joined, join_annotations, read_annotation
from dp_assets.interchange.table_batches import TableFileError
from dp_assets.storage.number_text import plain_number
from dp_assets_tests.interchange.made_tables import FEATURES, read, write


def annotation(rows: dict[str, list[str]], name: str = "a.csv") -> AnnotationTable:
    return AnnotationTable(
        Path(name), pa.table({key: pa.array(values, pa.string()) for key, values in rows.items()})
    )


def profiles(rows: dict[str, list[str]]) -> pa.Table:
    """Rows with these metadata and one feature that counts them."""
    strings = {f"Metadata_{name}": pa.array(values, pa.string()) for name, values in rows.items()}
    count = len(next(iter(rows.values())))
    return pa.table({**strings, "f": pa.array(np.arange(count), pa.float32())})


def joined(rows: dict[str, list[str]], *tables: dict[str, list[str]]) -> Joined:
    return join_annotations(profiles(rows), [annotation(table, f"{n}.csv") for n, table in enumerate(tables)])


PLATE = {"Plate": ["P1", "P1", "P2"], "Well": ["A01", "B02", "A01"]}


def test_wells_are_looked_up_by_plate_and_well() -> None:
    found = joined(
        PLATE,
        {
            "Image_Metadata_Plate_DAPI": ["P2", "P1", "P1", "P1"],
            "Image_Metadata_Well_DAPI": ["a1", "A1", "A01", "C03"],
            "Image_FileName_DAPI": ["1.tif", "2.tif", "3.tif", "4.tif"],
            "ImageNumber": ["1", "2", "3", "4"],
            "Image_Metadata_Compound": ["x", "y", "y", "z"],
            "Focus": ["0.1", "0.2", "0.3", "0.4"],
        },
    )
    assert found.table.column_names == ["Metadata_Plate", "Metadata_Well", "Metadata_Compound", "f"]
    assert found.table["Metadata_Compound"].to_pylist() == ["y", "", "x"]
    assert found.table["Metadata_Well"].to_pylist() == PLATE["Well"]
    assert found.table["f"].to_pylist() == [0, 1, 2]
    (fact,) = found.facts.joins
    assert (fact.key, fact.columns) == (("Metadata_Plate", "Metadata_Well"), ("Metadata_Compound",))
    assert fact.left_out == {"Focus": "P1/A01 has 0.2, 0.3"}
    assert (fact.matched, fact.unmatched, fact.examples) == (2, 1, ("P1/B02",))
    assert found.facts.as_dict()["0.csv"]["matched"] == 2


def test_treatments_are_looked_up_by_name_and_dose() -> None:
    found = joined(
        {**PLATE, "Compound": ["a", "a", "B"], "Concentration": ["3", "0.3", ""]},
        {
            "compound": [" a", "a", "b", "B"],
            "concentration": ["3.000000", "3e-1", "", "1"],
            "moa": ["one", "two", "three", "four"],
        },
    )
    # Compounds are told apart by case, and no dose is not 1.
    assert found.table["Metadata_moa"].to_pylist() == ["one", "two", ""]


def test_numbers_are_brought_in_their_shortest_form() -> None:
    table = {
        "Plate": ["P1", "P2"],
        "Well": ["A01", "A01"],
        "Dose": ["3.000000", "1e-2"],
        "Donor": ["007", "8"],
    }
    found = joined(PLATE, {**table, "Version": ["1.10", "beta"]}).table
    assert found["Metadata_Dose"].to_pylist() == ["3", "", "0.01"]
    assert found["Metadata_Donor"].to_pylist() == ["007", "", "8"]
    assert found["Metadata_Version"].to_pylist() == ["1.10", "", "beta"]


def test_plates_are_not_numbers() -> None:
    found = joined(
        {"Plate": ["01", "1"], "Well": ["A01", "A01"]}, {"Plate": ["1"], "Well": ["A01"], "x": ["yes"]}
    )
    assert found.table["Metadata_x"].to_pylist() == ["", "yes"]


def test_tables_are_joined_one_after_the_other() -> None:
    """As in the profiling recipe: from barcodes to plate maps, to compounds, to mechanisms."""
    found = joined(
        PLATE,
        {"Assay_Plate_Barcode": ["P1", "P2"], "Plate_Map_Name": ["map1", "map2"]},
        {
            "plate_map_name": ["map1", "map1", "map2"],
            "well_position": ["A01", "B02", "A01"],
            "broad_sample": ["b1", "b2", "b1"],
        },
        {"broad_sample": ["b1", "b2"], "moa": ["m1", "m2"]},
    )
    assert found.table["Metadata_moa"].to_pylist() == ["m1", "m2", "m1"]
    assert [join.key for join in found.facts.joins] == [
        ("Metadata_Plate",),
        ("Metadata_Plate_Map_Name", "Metadata_Well"),
        ("Metadata_broad_sample",),
    ]


def test_a_well_of_jump_has_a_source() -> None:
    rows = {"Source": ["s1", "s2"], "Plate": ["P1", "P1"], "Well": ["A01", "A01"]}
    table = {f"Metadata_{name}": values for name, values in rows.items()} | {"Metadata_JCP2022": ["J1", "J2"]}
    assert joined(rows, table).table["Metadata_JCP2022"].to_pylist() == ["J1", "J2"]


def test_sites_that_are_numbered_alike_and_otherwise() -> None:
    rows = {"Plate": ["P1", "P1"], "Well": ["A01", "A01"], "Site": ["1", "2"]}
    alike = {"Plate": ["P1", "P1"], "Well": ["A1", "A1"], "Site": ["01", "02"], "Quality": ["good", "bad"]}
    assert joined(rows, alike).table["Metadata_Quality"].to_pylist() == ["good", "bad"]
    otherwise = {**alike, "Site": ["s1", "s2"], "Compound": ["x", "x"]}
    found = joined(rows, otherwise)
    assert found.table["Metadata_Compound"].to_pylist() == ["x", "x"]
    assert found.facts.joins[0].key == ("Metadata_Plate", "Metadata_Well")
    assert set(found.facts.joins[0].left_out) == {"Quality"}


def test_columns_that_are_there_are_filled_but_not_overwritten() -> None:
    rows = {**PLATE, "Compound": ["x", "", "y"], "Dose": ["1.0", "2", ""]}
    table = {**PLATE, "compound": ["x", "z", ""], "dose": ["1", "2.00", "3"]}
    found = joined(rows, table).table
    assert found["Metadata_Compound"].to_pylist() == ["x", "z", "y"]
    assert found["Metadata_Dose"].to_pylist() == ["1.0", "2", "3"]
    with pytest.raises(
        TableFileError, match=r"P1/A01 has compound 'q', but the profiles have Metadata_Compound 'x'"
    ):
        joined(rows, {**table, "compound": ["q", "z", ""]})


MECHANISMS = {
    "compound": ["a", "a", "b", "DMSO"],
    "concentration": ["1.0", "3.0", "1.0", "0.0"],
    "moa": ["Actin", "Actin", "Kinase", "DMSO"],
}


def test_a_list_that_the_profiles_have_already_is_compared_and_fills_gaps() -> None:
    rows = {"compound": ["a", "b", "DMSO"], "concentration": ["3", "1", "0"]}
    for known, expected in (
        (["Actin", "Kinase", "DMSO"], ["Actin", "Kinase", "DMSO"]),
        (["Actin", "", ""], ["Actin", "Kinase", "DMSO"]),
        (["", "", ""], ["Actin", "Kinase", "DMSO"]),
    ):
        found = joined({**rows, "moa": known}, MECHANISMS)
        assert found.table["Metadata_moa"].to_pylist() == expected
        (fact,) = found.facts.joins
        assert fact.key == ("Metadata_compound", "Metadata_concentration")
        assert (fact.columns, fact.matched) == (("Metadata_moa",), 3)
    with pytest.raises(TableFileError, match=r"b/1 has moa 'Kinase', but the profiles have Metadata_moa 'x'"):
        joined({**rows, "moa": ["Actin", "x", "DMSO"]}, MECHANISMS)


def test_contradictions_outside_of_the_profiles_do_not_matter() -> None:
    table = {"Compound": ["x", "x", "other", "other"], "moa": ["m", "m", "1", "2"]}
    assert joined({**PLATE, "Compound": ["x"] * 3}, table).table["Metadata_moa"].to_pylist() == ["m"] * 3


def test_what_keeps_tables_apart() -> None:
    with pytest.raises(
        TableFileError, match=r"no column in common .* it has gene, moa; the profiles have .*_Plate"
    ):
        joined(PLATE, {"gene": ["x"], "moa": ["y"]})
    with pytest.raises(
        TableFileError, match=r"none of its 1 rows is about the profiles: by Plate and Well it has P9/A01"
    ):
        joined(PLATE, {"Plate": ["P9"], "Well": ["A01"], "moa": ["y"]})
    with pytest.raises(TableFileError, match="no column beside Plate and Well"):
        joined(PLATE, PLATE)
    with pytest.raises(TableFileError, match="no column has one value for every Compound: moa: x has m1, m2"):
        joined({**PLATE, "Compound": ["x"] * 3}, {"Compound": ["x", "x"], "moa": ["m1", "m2"]})


def test_no_annotations_at_all() -> None:
    table = profiles(PLATE)
    found = join_annotations(table, [])
    assert found.table is table
    assert found.facts.as_dict() == {}


@pytest.mark.parametrize("name", ["moa.csv", "moa.csv.gz"])
def test_reading_tables_packed_or_not(tmp_path: Path, name: str) -> None:
    (tmp_path / "moa.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfcompound;moa\r\na;b\r\n"))
    found = read_annotation(tmp_path / name)
    assert found.path.name == "moa.csv.gz"
    assert found.table.to_pydict() == {"compound": ["a"], "moa": ["b"]}
    with pytest.raises(TableFileError, match=r"is not there; tables in its folder are: moa.csv.gz"):
        read_annotation(tmp_path / "mao.csv")
    (tmp_path / "empty.csv").write_text("compound,moa\n")
    with pytest.raises(TableFileError, match="no rows"):
        read_annotation(tmp_path / "empty.csv")


@given(st.floats(allow_nan=False, min_value=-1e25, max_value=1e25), st.integers(0, 5))
def test_shortest_numbers_are_the_same_number(number: float, zeros: int) -> None:
    form = plain_number(repr(number))
    assert form is not None
    assert float(form) == number
    assert plain_number(form) == form
    if "." in form and "e" not in form:
        assert plain_number(form + "0" * zeros) == form
    assert not form.endswith(".")


def image_table(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "reference/BBBC021_v1_image.csv.gz")


def annotated(shared: Path, table: pa.Table) -> pd.DataFrame:
    tables = [
        read_annotation(shared / "reference" / name)
        for name in ("BBBC021_v1_image.csv", "BBBC021_v1_moa.csv")
    ]
    found = join_annotations(table, tables)
    assert [join.key for join in found.facts.joins] == [
        ("Metadata_Plate", "Metadata_Well"),
        ("Metadata_Compound", "Metadata_Concentration"),
    ]
    frame = found.table.to_pandas()
    return frame[frame["Metadata_moa"] != ""]


def counts(frame: pd.DataFrame) -> tuple[int, ...]:
    treated = frame[frame["Metadata_Compound"] != "DMSO"]
    return (
        len(treated.groupby(["Metadata_Compound", "Metadata_Concentration"])),
        treated["Metadata_Compound"].nunique(),
        treated["Metadata_moa"].nunique(),
        frame["Metadata_Plate"].nunique(),
    )


# Treatments, compounds, mechanisms and plates of the annotated part of BBBC021.
PUBLISHED = (103, 38, 12, 55)


def test_wells_of_bbbc021(shared: Path, tmp_path: Path) -> None:
    images = image_table(shared)
    places = images[["Image_Metadata_Plate_DAPI", "Image_Metadata_Well_DAPI"]].drop_duplicates()
    write(places.assign(**{name: np.arange(len(places)) * 1.5 for name in FEATURES}), tmp_path / "wells.csv")
    found = read(tmp_path, "wells.csv")
    assert (found.level, len(found.table)) == ("well", 3300)
    frame = annotated(shared, found.table)
    assert counts(frame) == PUBLISHED
    truth = images.drop_duplicates(["Image_Metadata_Plate_DAPI", "Image_Metadata_Well_DAPI"]).merge(
        pd.read_csv(shared / "reference/BBBC021_v1_moa.csv"),
        left_on=["Image_Metadata_Compound", "Image_Metadata_Concentration"],
        right_on=["compound", "concentration"],
    )
    expected = truth.set_index(["Image_Metadata_Plate_DAPI", "Image_Metadata_Well_DAPI"])["moa"]
    assert (
        frame.set_index(["Metadata_Plate", "Metadata_Well"])["Metadata_moa"].to_dict() == expected.to_dict()
    )


def test_images_of_bbbc021(shared: Path, tmp_path: Path) -> None:
    """Only the numbers of table and image are there; the image table tells the wells as well."""
    numbers = image_table(shared)[["TableNumber", "ImageNumber"]]
    write(numbers.assign(**dict.fromkeys(FEATURES, 1.0)), tmp_path / "images.csv")
    found = read(
        tmp_path,
        "images.csv",
        annotations=(read_annotation(shared / "reference/BBBC021_v1_image.csv.gz"),),
    )
    assert (found.level, len(found.table)) == ("site", 13_200)
    frame = annotated(shared, found.table)
    assert counts(frame) == PUBLISHED
    # The number of fields of view in the published, annotated part.
    assert len(frame) == 3848
