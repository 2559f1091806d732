"""The schema registry: every way in which a table can be other than it must be."""

import pyarrow as pa
import pytest

from dp_assets.config.errors import StoreError
from dp_assets.storage.schemas import (
    CELL_FEATURES,
    CELL_LOCATIONS,
    IMAGE_INDEX,
    PLATE_ANNOTATIONS,
    SCHEMAS,
    SITE_KEY,
    WELL_PROFILES,
    TableSchema,
)

KEY = {"Metadata_Plate": ["P", "P"], "Metadata_Well": ["A01", "A01"], "Metadata_Site": ["1", "2"]}
CELL_KEY = {**KEY, "Metadata_Cell": ["0", "0"]}
FLOAT = pa.array([1, 2], pa.float32())


def whats(schema: TableSchema, table: pa.Table) -> list[str]:
    return [problem.what for problem in schema.problems(table)]


def test_a_fitting_table_passes_as_it_is() -> None:
    table = pa.table({**KEY, "Treatment": ["a", "b"]})
    assert IMAGE_INDEX.enforce(table) is table


@pytest.mark.parametrize("name", SITE_KEY)
def test_missing_columns_are_named(name: str) -> None:
    table = pa.table({**KEY}).drop_columns([name])
    assert whats(IMAGE_INDEX, table) == [f"column {name} is missing"]


def test_all_problems_of_columns_are_reported_at_once() -> None:
    table = pa.table({"Metadata_Plate": [1, 2], "Metadata_Well": ["A", "B"], "extra": [0.5, 1]})
    assert whats(IMAGE_INDEX, table) == [
        "column Metadata_Plate is int64; expected string",
        "column Metadata_Site is missing",
        "column extra (double) does not belong here",
    ]
    with pytest.raises(StoreError, match="3 problems") as caught:
        IMAGE_INDEX.enforce(table)
    assert caught.value.problems[0].where == "table image_index: Metadata_Plate"


def test_columns_that_occur_twice() -> None:
    columns = [pa.array(values) for values in KEY.values()]
    table = pa.Table.from_arrays([*columns, columns[0]], names=[*KEY, "Metadata_Plate"])
    assert whats(IMAGE_INDEX, table) == ["columns occur twice: Metadata_Plate"]


def test_nulls_where_there_must_be_a_value() -> None:
    table = pa.table({**KEY, "Metadata_Site": pa.array(["1", None])})
    assert whats(IMAGE_INDEX, table) == ["column Metadata_Site has 1 empty values"]


def test_rows_that_share_their_key() -> None:
    table = pa.table({**KEY, "Metadata_Site": ["1", "1"]})
    assert whats(IMAGE_INDEX, table) == ["1 keys occur more than once, the first is (P, A01, 1)"]


@pytest.mark.parametrize(
    ("schema", "key", "fits", "does_not"),
    [
        (IMAGE_INDEX, KEY, [("any", ["a", "b"])], [("n", [1, 2])]),
        (PLATE_ANNOTATIONS, KEY, [("Metadata_T", ["a", "b"])], [("T", ["a", "b"]), ("Metadata_T", [1, 2])]),
        (CELL_FEATURES, CELL_KEY, [("f_0", FLOAT)], [("Metadata_T", ["a", "b"]), ("f_0", [1.0, 2.0])]),
        (
            WELL_PROFILES,
            {"Metadata_Plate": ["P", "P"], "Metadata_Well": ["A", "B"]},
            [("f_0", FLOAT), ("Metadata_T", ["a", "b"])],
            [("Metadata_T", FLOAT), ("T", ["a", "b"])],
        ),
        (
            CELL_LOCATIONS,
            {**CELL_KEY, "Nuclei_Location_Center_X": [0.5, 1], "Nuclei_Location_Center_Y": [0.5, 1]},
            [("Area", [1, 2]), ("Note", ["a", "b"])],
            [],
        ),
    ],
)
def test_which_further_columns_are_allowed(
    schema: TableSchema, key: dict, fits: list, does_not: list
) -> None:
    for name, values in fits:
        assert whats(schema, pa.table({**key, name: values})) == []
    for name, values in does_not:
        assert [what for what in whats(schema, pa.table({**key, name: values})) if "belong" in what]


def test_identifiers_are_strings_everywhere() -> None:
    for schema in SCHEMAS.values():
        for name, (kind, nullable) in schema.required.items():
            if name.startswith("Metadata_"):
                assert (kind, nullable) == (pa.string(), False)
        assert set(schema.key) <= set(schema.required)
