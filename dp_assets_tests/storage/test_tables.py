"""Parquet tables: what comes back is what went in, damage is named, nothing unfit is published."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dp_assets.config.errors import StoreError
from dp_assets.storage.schemas import CELL_FEATURES, WELL_PROFILES
from dp_assets.storage.tables import (
    StoredTable,
    TableStream,
    read_provenance,
    read_table,
    with_provenance,
    write_table,
)
from dp_assets_tests.storage.stores import KINDS, store

SCHEMA = pa.schema([*((name, pa.string()) for name in CELL_FEATURES.required), ("net_0", pa.float32())])


def features(start: int, count: int) -> pa.Table:
    cells = [str(number) for number in range(start, start + count)]
    numbers = np.arange(start, start + count, dtype=np.float32)
    return pa.table([["P"] * count, ["A01"] * count, ["1"] * count, cells, numbers], schema=SCHEMA)


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_comes_back_with_its_provenance(tmp_path: Path, kind: str) -> None:
    path = store(kind, tmp_path) / "x" / "P1.parquet"
    table = with_provenance(features(0, 5), fingerprint="abc", sites={"A01/1": 5})
    assert write_table(path, table, CELL_FEATURES) == 5
    found = read_table(path)
    assert found.equals(table)
    assert read_provenance(found.schema) == {"fingerprint": "abc", "sites": {"A01/1": 5}}
    assert read_table(path, ["net_0"]).column_names == ["net_0"]
    assert StoredTable(path).row_count() == 5
    assert StoredTable(path).schema().equals(table.schema, check_metadata=True)
    assert [file.name for file in path.parent.iterdir()] == ["P1.parquet"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_becomes_one_row_group_per_group(tmp_path: Path, kind: str) -> None:
    path = store(kind, tmp_path) / "P1.parquet"
    sizes = [3, 1, 4]
    starts = np.cumsum([0, *sizes])

    def groups() -> Iterator[pa.Table]:
        return (features(int(start), size) for start, size in zip(starts, sizes, strict=False))

    stream = TableStream(SCHEMA, groups, {"fingerprint": "abc", "failures": []})
    assert write_table(path, stream, CELL_FEATURES) == 8
    stored = StoredTable(path)
    assert stored.read().replace_schema_metadata(None).equals(features(0, 8).combine_chunks())
    assert [group.num_rows for group in stored.row_groups()] == sizes
    assert [group.column_names for group in stored.row_groups(["net_0"])] == [["net_0"]] * 3
    assert read_provenance(stored.schema()) == {"fingerprint": "abc", "failures": []}
    assert stored.row_count() == 8


def test_an_empty_stream_is_an_empty_table_with_all_columns(tmp_path: Path) -> None:
    path = tmp_path / "P1.parquet"
    assert write_table(path, TableStream(SCHEMA, lambda: iter(())), CELL_FEATURES) == 0
    assert StoredTable(path).read().equals(SCHEMA.empty_table())


def test_features_are_not_dictionary_encoded_and_names_are(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", features(0, 500), CELL_FEATURES)
    group = pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    assert not columns["net_0"].has_dictionary_page
    assert columns["Metadata_Well"].has_dictionary_page
    assert {column.compression for column in columns.values()} == {"ZSTD"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_is_not_published(tmp_path: Path, kind: str) -> None:
    path = store(kind, tmp_path) / "P1.parquet"
    write_table(path, features(0, 2), CELL_FEATURES)
    with pytest.raises(StoreError, match="occur more than once"):
        write_table(path, pa.concat_tables([features(0, 1), features(0, 1)]), CELL_FEATURES)
    with pytest.raises(StoreError, match="column Metadata_Cell is missing"):
        write_table(path, TableStream(SCHEMA.remove(3), lambda: iter(())), CELL_FEATURES)

    def failing() -> Iterator[pa.Table]:
        yield features(0, 7)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write_table(path, TableStream(SCHEMA, failing), CELL_FEATURES)
    assert read_table(path).equals(features(0, 2))
    assert [file.name for file in path.parent.iterdir()] == ["P1.parquet"]


def test_provenance_is_added_to_what_is_there_and_nothing_else_is_lost() -> None:
    table = with_provenance(pa.table({"a": [1]}).replace_schema_metadata({"other": "x"}), a=1)
    again = with_provenance(table, b=[2])
    assert read_provenance(again.schema) == {"a": 1, "b": [2]}
    assert again.schema.metadata[b"other"] == b"x"
    assert read_provenance(pa.schema([])) == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.98])
def test_a_damaged_file_is_named(tmp_path: Path, kind: str, kept: float) -> None:
    path = store(kind, tmp_path) / "P1.parquet"
    write_table(path, features(0, 50), CELL_FEATURES)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    stored = StoredTable(path)
    reads = [stored.read, stored.schema, stored.row_count, lambda: list(stored.row_groups())]
    for read in reads:
        with pytest.raises(StoreError, match="cannot be read") as caught:
            read()
        assert "P1.parquet" in caught.value.problems[0].where
        assert "materialize" in caught.value.problems[0].remedy


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "P1.parquet"
    write_table(path, features(0, 5000), CELL_FEATURES)
    data = bytearray(path.read_bytes())
    data[40:400] = b"\0" * 360
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match="cannot be read"):
        read_table(path)
    with pytest.raises(StoreError, match="cannot be read"):
        list(StoredTable(path).row_groups())


def test_a_missing_file_is_missing_not_damaged(tmp_path: Path) -> None:
    for read in (lambda: read_table(tmp_path / "x"), StoredTable(tmp_path / "x").schema):
        with pytest.raises(FileNotFoundError):
            read()


def test_every_schema_kind_survives_a_stream_of_another_order(tmp_path: Path) -> None:
    table = pa.table({"Metadata_Plate": ["P"], "Metadata_Well": ["A01"], "f": pa.array([1], pa.float32())})
    write_table(tmp_path / "w.parquet", table.select([2, 1, 0]), WELL_PROFILES)
    assert read_table(tmp_path / "w.parquet").column_names == ["f", "Metadata_Well", "Metadata_Plate"]
