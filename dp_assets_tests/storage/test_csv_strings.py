"""CSV files exactly as they stand: no value is changed, no column is shifted."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.config.errors import ImageIndexError, LocationsError
from dp_assets.storage.csv_strings import read_csv_strings

CELL = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufeff"), max_size=6)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@given(rows=st.lists(st.tuples(CELL, CELL, CELL), max_size=5), bom=st.booleans())
def test_every_cell_is_what_the_csv_module_reads(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], bom: bool
) -> None:
    sink = io.StringIO()
    csv.writer(sink).writerows([("a", "b", "c"), *rows])
    text = sink.getvalue()
    path = written(tmp_path_factory.mktemp("csv"), ("\ufeff" if bom else "") + text)
    found = read_csv_strings(path, LocationsError)
    assert found is not None
    assert list(found.columns) == ["a", "b", "c"]
    expected = [(n, *row) for n, row in enumerate(csv.reader(io.StringIO(text)), 1) if n > 1 and any(row)]
    assert list(found.itertuples(name=None)) == expected


def test_words_that_pandas_would_take_for_missing_stay(tmp_path: Path) -> None:
    found = read_csv_strings(written(tmp_path, "a,b\nNA,01\nnan,1.0\n"), LocationsError)
    assert found is not None
    assert found.to_numpy().tolist() == [["NA", "01"], ["nan", "1.0"]]


def test_blank_lines_are_left_out_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    found = read_csv_strings(written(tmp_path, "a,b\r\n\r\n1,2\r\n,\r\n3\r\n\r\n"), LocationsError)
    assert found is not None
    assert found.index.name == "line"
    assert list(found.itertuples(name=None)) == [(3, "1", "2"), (5, "3", "")]


def test_a_file_without_header_is_none(tmp_path: Path) -> None:
    assert read_csv_strings(written(tmp_path, ""), LocationsError) is None


def test_columns_without_a_name_get_one(tmp_path: Path) -> None:
    found = read_csv_strings(written(tmp_path, ",a\n0,x\n"), LocationsError)
    assert found is not None
    assert list(found.columns) == ["Unnamed: 0", "a"]


@pytest.mark.parametrize("error", [LocationsError, ImageIndexError])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("a,b\n1,2,3\n4,5,6\n", "Expected 2 fields in line 2, saw 3"),
        ("a,b,a\n1,2,3\n", "more than one column is called a"),
        ("a,é\n".encode("latin-1"), "codec can't decode"),
        ("a,b\n".encode("utf-16"), "codec can't decode"),
        ('a,b\n1,"2\n', "the file cannot be read"),
    ],
)
def test_unusable_files_are_refused(
    tmp_path: Path, error: type[LocationsError], content: str | bytes, what: str
) -> None:
    with pytest.raises(error, match=what) as caught:
        read_csv_strings(written(tmp_path, content), error)
    assert "table.csv" in caught.value.problems[0].where
