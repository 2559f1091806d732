"""Tables of other programs as files: separators, packing, damage, and what the messages say."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.interchange.csv_tables import open_csv_table
from dp_assets.interchange.table_batches import TableFileError
from dp_assets.interchange.table_files import is_table_name, open_table, read_text_columns, table_stem


def made(tmp_path: Path, name: str, content: bytes | str) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def numbers(path: Path, names: list[str], texts: tuple[str, ...] = ()) -> tuple[np.ndarray, dict]:
    batches = list(open_table(path).batches(names, texts))
    found = {name: [value for batch in batches for value in batch.texts[name].to_pylist()] for name in texts}
    return np.concatenate([batch.numbers for batch in batches]), found


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("w,a,b\nA01,1.5,-2\nA02,,1e3\n", "t.csv"),
        ("\ufeffw,a,b\r\nA01,1.5,-2\r\nA02,NA,1000.0\r\n", "t.csv"),
        ("w;a;b\nA01;1,5;-2\nA02;;1000\n", "t.csv"),
        ("w\ta\tb\nA01\t1.5\t-2\nA02\tNaN\t1000\n", "t.tsv"),
        ('"w","a","b"\n"A01","1.5","-2"\n"A02","","1000"', "t.txt"),
        ("w | a | b\n A01 | 1.5 | -2\nA02 |#N/A| 1000\n\n", "t.txt"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_spellings_of_a_table(tmp_path: Path, content: str, name: str, packed: bool) -> None:
    data = content.encode()
    path = made(tmp_path, name + ".gz" * packed, gzip.compress(data) if packed else data)
    table = open_table(path)
    assert [(column.name, column.kind) for column in table.columns] == [
        ("w", "text"),
        ("a", "number"),
        ("b", "number"),
    ]
    values, texts = numbers(path, ["b", "a"], ("w",))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.array([[-2, 1.5], [1000, np.nan]], np.float32))
    assert texts == {"w": ["A01", "A02"]}


def test_parts_of_a_packed_file_that_was_put_together(tmp_path: Path) -> None:
    path = made(tmp_path, "t.csv.gz", gzip.compress(b"w,a\nA01,1\n") + gzip.compress(b"A02,2\n"))
    assert numbers(path, ["a"])[0].tolist() == [[1.0], [2.0]]


def test_true_and_false_are_numbers(tmp_path: Path) -> None:
    path = made(tmp_path, "t.csv", "w,a\nx,True\ny,FALSE\nz,\n")
    np.testing.assert_array_equal(numbers(path, ["a"])[0], np.array([[1], [0], [np.nan]], np.float32))


def test_row_numbers_go_on_from_block_to_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dp_assets.interchange.csv_tables._BLOCK_BYTES", 64)
    path = made(tmp_path, "t.csv", "w,a\n" + "".join(f"A{row},{row}\n" for row in range(200)))
    batches = list(open_table(path).batches(["a"], ["w"]))
    assert len(batches) >= 5
    for batch in batches:
        np.testing.assert_array_equal(
            batch.numbers[:, 0], np.arange(batch.first_row, batch.first_row + len(batch.numbers)) - 1
        )
    assert sum(len(batch.numbers) for batch in batches) == 200


@pytest.mark.parametrize(
    ("content", "what", "where"),
    [
        ("w,a\nA01,1\nA02,1.2.3\n", "'1.2.3' is no number", "line 3, column a"),
        ("w,a\nA01,1\nA02\n", "the line has 1 values; the header has 2", "line 3"),
        ("w,a\nA01,1\nA02,2,3\n", "the line has 3 values; the header has 2", "line 3"),
        ("w;a\nA01;1.5\nA02;1,5\n", "'1,5' is no number", "line 3, column a"),
        ("w,a,a\nA01,1,2\n", "more than one column is called 'a'", "line 1"),
        ('w,a\nA01,1\n"A02,2\n', "header has 2", "line 3"),
        (b"w,a\nA\xb501,1\n", "not UTF-8", "t.csv"),
        ("w,a\n1,2\n".encode("utf-16"), "UTF-16", "t.csv"),
        (b"", "empty", "t.csv"),
        (b"\n\n \n", "no header", "t.csv"),
        (b"\nw,a\n1,2\n", "first line is empty", "t.csv"),
        (b"w,a\n\x00\x01\x02", "no text and no Parquet", "t.csv"),
        (b"PK\x03\x04rest", "Excel", "t.csv"),
        (b"SQLite format 3\x00", "SQLite", "t.csv"),
        (b"\x89HDF\r\n", "HDF5", "t.csv"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git LFS", "t.csv"),
        (b"PAR1 and nothing else", "Parquet file cannot be read", "t.csv"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, content: bytes | str, what: str, where: str) -> None:
    path = made(tmp_path, "t.csv", content)
    with pytest.raises(TableFileError) as caught:
        list(open_table(path).batches(["a"], ["w"]))
    (problem,) = caught.value.problems
    assert what in problem.what
    assert str(path) in problem.where
    assert where in problem.where
    assert problem.remedy


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_packed_file_that_is_cut_off(tmp_path: Path, share: float) -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    data = gzip.compress(("w,a\n" + "".join(f"A01,{value}\n" for value in values)).encode())
    path = made(tmp_path, "t.csv.gz", data[: int(share * len(data))])
    with pytest.raises(TableFileError, match="cut off"):
        list(open_table(path).batches(["a"], ["w"]))


def test_a_parquet_file_that_is_cut_off(tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"a": np.arange(1000.0)}), whole)
    path = made(tmp_path, "t.parquet", whole.read_bytes()[:-20])
    with pytest.raises(TableFileError, match="cannot be read"):
        open_table(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TableFileError, match="cannot be opened"):
        open_table(tmp_path / "t.csv")


def test_types_of_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "plate": pa.array(["P1", "P1", None]).dictionary_encode(),
            "site": pa.array([1, 2, None]),
            "dose": pa.array([0.1, 3.0, None], pa.float32()),
            "whole": pa.array([1, 2, None], pa.int16()),
            "flag": pa.array([True, False, None]),
            "text": pa.array(["1.5", " 2 ", "NA"]),
            "nothing": pa.nulls(3),
            "huge": pa.array([1e300, 1.0, 2.0]),
        }
    )
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    kinds = {column.name: column.kind for column in open_table(path).columns}
    assert [name for name, kind in kinds.items() if kind == "text"] == ["plate", "text"]
    values, texts = numbers(path, ["whole", "flag", "text", "nothing", "huge"], ("plate", "site", "dose"))
    nan, inf = np.nan, np.inf
    np.testing.assert_array_equal(
        values, np.array([[1, 1, 1.5, nan, inf], [2, 0, 2, nan, 1], [nan, nan, nan, nan, 2]], np.float32)
    )
    assert texts == {"plate": ["P1", "P1", ""], "site": ["1", "2", ""], "dose": ["0.1", "3", ""]}


def test_text_in_a_parquet_feature_names_its_row(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": ["1", "2", "three"]}), path)
    with pytest.raises(TableFileError, match=r"row 3, column a: 'three' is no number"):
        list(open_table(path).batches(["a"], []))


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 3), pa.large_list(pa.int8())]
)
def test_lists_are_taken_apart(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table({"w": ["A01", "A02", "A03"], "all_emb": pa.array([[1, 2, 3], None, [4, 5, 6]], kind)}), path
    )
    assert [column.name for column in open_table(path).columns] == [
        "w",
        "all_emb_0",
        "all_emb_1",
        "all_emb_2",
    ]
    values, _ = numbers(path, ["all_emb_2", "all_emb_0"], ("w",))
    np.testing.assert_array_equal(values, np.array([[3, 1], [np.nan, np.nan], [6, 4]], np.float32))


def test_lists_of_different_lengths(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"all_emb": [[1.0, 2.0], [3.0]]}), path)
    with pytest.raises(
        TableFileError, match="row 2, column all_emb: the list has 1 numbers; the first one has 2"
    ):
        list(open_table(path).batches(["all_emb_0"], []))


def test_a_hundred_thousand_columns(tmp_path: Path) -> None:
    names = [f"c{place}" for place in range(100_000)]
    path = made(tmp_path, "t.csv", "\n".join([",".join(names), ",".join(["1.25"] * 100_000)]))
    table = open_table(path)
    assert len(table.columns) == 100_000
    (batch,) = table.batches(names[-3:], [])
    assert batch.numbers.tolist() == [[1.25] * 3]


def test_names_with_line_breaks(tmp_path: Path) -> None:
    path = made(tmp_path, "t.csv", '"the\nwell",a\nA01,1\n')
    values, texts = numbers(path, ["a"], ("the\nwell",))
    assert (values.tolist(), texts) == ([[1.0]], {"the\nwell": ["A01"]})


def test_reading_all_as_text(tmp_path: Path) -> None:
    path = made(tmp_path, "t.csv", ",compound,dose\n0, aspirin ,0.50\n1,NA,007\n")
    table = read_text_columns(path)
    assert table.to_pydict() == {
        "Unnamed: 0": ["0", "1"],
        "compound": ["aspirin", ""],
        "dose": ["0.50", "007"],
    }


@given(st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1, max_size=30))
def test_numbers_survive_csv(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_text("w,a\n" + "".join(f"A01,{value!r}\n" for value in values))
    (batch,) = open_csv_table(path, compressed=False).batches(["a"], [])
    np.testing.assert_array_equal(batch.numbers[:, 0], np.array(values, np.float32))


def test_decimal_commas_in_text(tmp_path: Path) -> None:
    path = made(tmp_path, "t.csv", "compound;dose;name\na;0,50;1,2-diol\nb;1e3;x\n")
    assert read_text_columns(path).to_pydict() == {
        "compound": ["a", "b"],
        "dose": ["0.50", "1e3"],
        "name": ["1,2-diol", "x"],
    }


def test_names_of_tables() -> None:
    assert [table_stem(Path(name)) for name in ("P1.csv", "P1.v2.CSV.GZ", "P1.parquet", "P1")] == [
        "P1",
        "P1.v2",
        "P1",
        "P1",
    ]
    assert [is_table_name(Path(name)) for name in ("a.csv", "a.tsv.gz", ".a.csv", "_a.csv", "a.xlsx")] == [
        True,
        True,
        False,
        False,
        False,
    ]
