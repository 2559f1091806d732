"""The image index: what is kept as it stands, and every row that is refused."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from dp_assets.config.errors import ImageIndexError
from dp_assets.storage.index_file import (
    IndexLocation,
    find_index,
    read_index,
    resolve_image,
    why_outside,
)

HEADER = "Metadata_Plate,Metadata_Well,Metadata_Site,DNA,Treatment\n"
GOOD = HEADER + "P1,A01,01,P1/a.tif,DMSO\nP1,A01,2,P1/b.tif,\n"


def location(folder: Path, text: str | bytes, roots: tuple[str, ...] = ()) -> IndexLocation:
    path = folder / "index.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return IndexLocation(path, folder / "images", roots)


def problems(folder: Path, text: str | bytes, roots: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    with pytest.raises(ImageIndexError) as caught:
        read_index(location(folder, text, roots), ["DNA"])
    assert all(problem.remedy for problem in caught.value.problems)
    return [(problem.what, problem.where) for problem in caught.value.problems]


def test_identifiers_stay_strings_and_columns_keep_their_names(tmp_path: Path) -> None:
    text = (
        "Treatment,Metadata_Site,Metadata_Well,DNA,Metadata_Plate\n"
        "NA,01,A01,a.tif,20586\n"
        "1.0,1,A01,b.tif,20586\n"
    )
    table = read_index(location(tmp_path, text), ["DNA"])
    assert table.column_names == ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Treatment", "DNA"]
    assert set(table.schema.types) == {pa.string()}
    assert table["Metadata_Site"].to_pylist() == ["01", "1"]
    assert table["Treatment"].to_pylist() == ["NA", "1.0"]


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_byte_order_marks_and_windows_line_ends_do_not_matter(
    tmp_path: Path, start: str, ending: str
) -> None:
    table = read_index(location(tmp_path, (start + GOOD).replace("\n", ending)), ["DNA"])
    assert table["Metadata_Plate"].to_pylist() == ["P1", "P1"]
    assert table["Treatment"].to_pylist() == ["DMSO", ""]


@pytest.mark.parametrize("name", ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "DNA"])
def test_missing_columns(tmp_path: Path, name: str) -> None:
    [(what, where)] = problems(tmp_path, GOOD.replace(name, "Other"))
    assert name in what
    assert "Other" in what  # the columns there are
    assert where == str(tmp_path / "index.csv")


def test_all_missing_columns_are_reported_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, "a,b\n1,2\n")) == 4


@pytest.mark.parametrize(("text", "what"), [("", "the index is empty"), (HEADER, "the index has no rows")])
def test_an_empty_index(tmp_path: Path, text: str, what: str) -> None:
    assert problems(tmp_path, text)[0][0] == what


@pytest.mark.parametrize(
    ("plate", "why"),
    [
        ("../evil", "dots|characters"),
        ("a...b", "dots in a row"),
        ("..", "dots in a row"),
        ("", "empty"),
        ("-P", "characters"),
        ("a|b", "characters"),
        ("a/b", "characters"),
        ("Plätte", "characters"),
        ('"P1\n"', "characters"),
        ("P" * 101, "longer"),
    ],
)
def test_plates_that_cannot_be_keys_or_file_names(tmp_path: Path, plate: str, why: str) -> None:
    found = problems(tmp_path, GOOD.replace("P1,A01,2", f"{plate},A01,2"))
    assert len(found) == 1
    what, where = found[0]
    assert repr(plate.strip('"')) in what
    assert any(word in what for word in why.split("|"))
    assert where == f"{tmp_path / 'index.csv'}, line 3, column Metadata_Plate"


@pytest.mark.parametrize("name", ["..", "a/b", "a\\b", "a|b", "", '"A01\n"', "é" * 51])
@pytest.mark.parametrize("column", ["Metadata_Well", "Metadata_Site"])
def test_wells_and_sites_that_cannot_be_file_names(tmp_path: Path, name: str, column: str) -> None:
    row = f"P1,{name},2" if column == "Metadata_Well" else f"P1,A01,{name}"
    [(what, where)] = problems(tmp_path, GOOD.replace("P1,A01,2", row))
    assert "cannot be used as a name" in what
    assert where.endswith(f"line 3, column {column}")


def test_a_name_that_is_wrong_throughout_is_reported_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, GOOD.replace("P1,A01", "P|1,A01"))) == 1


def test_fields_of_view_listed_twice(tmp_path: Path) -> None:
    text = GOOD + "P1,A01,01,P1/c.tif,\nP2,A01,01,P1/d.tif,\nP1,A01,01,e.tif,\n"
    found = problems(tmp_path, text)
    assert [what for what, _ in found] == ["plate P1, well A01, site 01 is listed more than once"] * 2
    assert [where.split(", ")[1] for _, where in found] == ["line 4", "line 6"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("../a.tif", "climbs"),
        ("P1/../../a.tif", "climbs"),
        ("P1\\..\\..\\a.tif", "climbs"),
        ("/etc/passwd", "only under image_roots"),
        ("file:///etc/passwd", "only under image_roots"),
        ("s3://bucket/a.tif", "only under image_roots"),
        ("/data/screenshots/a.tif", "only under image_roots"),
        ("/data/screen/../../etc/passwd", "climbs"),
        (".", "names no file"),
        ('"a\n.tif"', "control character"),
    ],
)
def test_paths_that_leave_the_allowed_folders(tmp_path: Path, path: str, why: str) -> None:
    text = GOOD.replace("P1/b.tif", path)
    [(what, where)] = problems(tmp_path, text, roots=("/data/screen",))
    assert why in what
    assert where == f"{tmp_path / 'index.csv'}, line 3, column DNA"


@pytest.mark.parametrize("root", ["/data/screen", "/data/screen/", "s3://bucket/x"])
def test_absolute_paths_under_an_image_root(tmp_path: Path, root: str) -> None:
    path = f"{root.rstrip('/')}/P1/a.tif"
    at = location(tmp_path, GOOD.replace("P1/b.tif", path), roots=(root,))
    assert read_index(at, ["DNA"])["DNA"].to_pylist() == ["P1/a.tif", path]


def test_what_a_path_means(tmp_path: Path) -> None:
    at = IndexLocation(tmp_path / "index.csv", tmp_path / "images")
    assert resolve_image("P1/a.tif", at) == tmp_path / "images" / "P1" / "a.tif"
    assert resolve_image("/data/a.tif", at) == Path("/data/a.tif")
    assert resolve_image("memory://x/a.tif", at) == UPath("memory://x/a.tif")


SEGMENT = st.sampled_from(["..", ".", "a", "b.tif", "", " "])


@settings(max_examples=300)
@given(parts=st.lists(SEGMENT, min_size=1, max_size=5), absolute=st.booleans())
def test_no_accepted_path_leaves_its_folder(parts: list[str], absolute: bool) -> None:
    value = ("/data/" if absolute else "") + "/".join(parts)
    if why_outside(value, ["/data"]) is None:
        base = Path("/data") if value.startswith("/") else Path("/p/images")
        meant = Path(str(resolve_image(value, IndexLocation(Path("/p/i.csv"), Path("/p/images"))))).resolve()
        assert meant.is_relative_to(base)


def test_very_many_problems_are_cut_short(tmp_path: Path) -> None:
    rows = "".join(f"P1,A01,{number},/x{number}.tif,\n" for number in range(80))
    found = problems(tmp_path, HEADER + rows)
    assert len(found) == 51
    assert found[-1][0] == "... and 30 more problems"


@pytest.mark.parametrize(
    "content", ["a,b\n1,2,3\n", GOOD.replace("Treatment", "DNA"), "é".encode("latin-1"), b"\x00\xff\xfe"]
)
def test_files_that_are_no_table(tmp_path: Path, content: str | bytes) -> None:
    assert problems(tmp_path, content)


def parquet_location(folder: Path, frame: pd.DataFrame) -> IndexLocation:
    frame.to_parquet(folder / "index.parquet")
    return IndexLocation(folder / "index.parquet", folder / "images")


def typed_index() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Metadata_Plate": [20586, 20586, 20587],
            "Metadata_Well": pd.Categorical(["A01", "A02", "A01"]),
            "Metadata_Site": [1.0, 2.0, 3.0],
            "DNA": ["a.tif", "b.tif", "c.tif"],
            "Dose": [0.5, None, 2.0],
            "Note": [None, "x", "y"],
            "Day": pd.to_datetime(["2024-01-02", "", "2024-01-03"]),
        }
    )


def test_a_parquet_index_reads_like_the_csv_a_user_would_write(tmp_path: Path) -> None:
    table = read_index(parquet_location(tmp_path, typed_index()), ["DNA"])
    assert table["Metadata_Plate"].to_pylist() == ["20586", "20586", "20587"]
    assert table["Metadata_Well"].to_pylist() == ["A01", "A02", "A01"]
    assert table["Metadata_Site"].to_pylist() == ["1", "2", "3"]
    assert table["Dose"].to_pylist() == ["0.5", "", "2"]
    assert table["Note"].to_pylist() == ["", "x", "y"]
    assert table["Day"].to_pylist()[1] == ""


@pytest.mark.parametrize(
    "changed", [lambda f: f.set_index("Metadata_Plate"), lambda f: f[f["DNA"] != "b.tif"]]
)
def test_pandas_row_labels_in_parquet_do_not_matter(tmp_path: Path, changed: object) -> None:
    table = read_index(parquet_location(tmp_path, changed(typed_index())), ["DNA"])  # type: ignore[operator]
    assert table.column_names[:3] == ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]
    assert not [name for name in table.column_names if "index" in name]


def test_rows_of_a_parquet_index_are_named(tmp_path: Path) -> None:
    frame = typed_index().assign(DNA=["a", "../b", "c"])
    with pytest.raises(ImageIndexError, match=r"row 2, column DNA"):
        read_index(parquet_location(tmp_path, frame), ["DNA"])


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.95])
def test_a_damaged_parquet_index(tmp_path: Path, kept: float) -> None:
    at = parquet_location(tmp_path, typed_index())
    data = at.path.read_bytes()
    at.path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ImageIndexError, match="cannot be read"):
        read_index(at, ["DNA"])


def test_finding_the_index(tmp_path: Path) -> None:
    with pytest.raises(ImageIndexError, match="there is no image index") as caught:
        find_index(tmp_path)
    assert "Metadata_Plate" in caught.value.problems[0].remedy
    (tmp_path / "index.parquet").write_bytes(b"")
    assert find_index(tmp_path).name == "index.parquet"
    (tmp_path / "index.csv").write_bytes(b"")
    with pytest.raises(ImageIndexError, match=r"two indexes: index.csv, index.parquet"):
        find_index(tmp_path)
