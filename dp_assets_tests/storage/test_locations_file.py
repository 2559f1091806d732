"""Locations files: coordinates exactly as written, and every line that is no coordinate."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.config.errors import LocationsError
from dp_assets.storage.locations_file import locations_path, read_locations

X, Y = "Nuclei_Location_Center_X", "Nuclei_Location_Center_Y"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "A01-1-Nuclei.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_where_the_file_of_a_site_lies(tmp_path: Path) -> None:
    assert locations_path(tmp_path, "P1", "A01", "02") == tmp_path / "P1" / "A01-02-Nuclei.csv"


@given(places=st.lists(st.tuples(*2 * [st.floats(-1e4, 1e4)]), max_size=5), swapped=st.booleans())
def test_coordinates_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[float, float]], swapped: bool
) -> None:
    lines = [f"{x!r},{y!r}" for x, y in places]
    names = f"{X},{Y}"
    if swapped:
        names, lines = f"{Y},{X}", [",".join(line.split(",")[::-1]) for line in lines]
    path = written(tmp_path_factory.mktemp("l"), "\n".join([names, *lines]) + "\n")
    found = read_locations(path)
    assert found.file_found
    assert found.frame[[X, Y]].to_numpy().tolist() == [list(map(float, place)) for place in places]
    assert {str(found.frame[name].dtype) for name in (X, Y)} == {"float64"}
    assert list(found.frame.index) == list(range(len(places)))


def test_no_file_or_nothing_in_it_means_no_cells(tmp_path: Path) -> None:
    missing = read_locations(tmp_path / "none.csv")
    assert (len(missing.frame), missing.file_found) == (0, False)
    for text in ("", f"{X},{Y}\n", f"{X},{Y},Area\n\n"):
        found = read_locations(written(tmp_path, text))
        assert (len(found.frame), found.file_found) == (0, True)
        assert found.frame[X].dtype == found.frame[Y].dtype == np.float64


def test_further_columns_are_carried_along(tmp_path: Path) -> None:
    text = (
        f"\ufeffNumber,{X},{Y},Area,Class,Metadata_Site,Mixed,Empty\n1, 5 ,6,nan,b,01,1,\n2,7,8,2.5,,02,x,\n"
    )
    frame = read_locations(written(tmp_path, text)).frame
    assert list(frame.columns) == ["Number", X, Y, "Area", "Class", "Metadata_Site", "Mixed", "Empty"]
    assert frame[X].tolist() == [5.0, 7.0]
    assert frame["Number"].tolist() == [1.0, 2.0]
    np.testing.assert_array_equal(frame["Area"], [np.nan, 2.5])
    assert frame["Class"].tolist() == ["b", ""]
    assert frame["Metadata_Site"].tolist() == ["01", "02"]
    assert frame["Mixed"].tolist() == ["1", "x"]
    assert frame["Empty"].tolist() == ["", ""]
    assert pd.api.types.is_float_dtype(frame["Area"])


@pytest.mark.parametrize(("header", "missing"), [(f"{X},y", Y), (f"x,{Y}", X), ("x,y", f"{X} and {Y}")])
def test_missing_columns(tmp_path: Path, header: str, missing: str) -> None:
    with pytest.raises(LocationsError, match=f"column {missing} is missing") as caught:
        read_locations(written(tmp_path, header + "\n1,2\n"))
    assert header.split(",")[0] in caught.value.problems[0].what
    assert caught.value.problems[0].where.endswith("A01-1-Nuclei.csv")


@pytest.mark.parametrize("value", ["twelve", "", "nan", "NaN", "inf", "-inf", "1,5", "0x10", "1e999", "True"])
def test_values_that_are_no_coordinate(tmp_path: Path, value: str) -> None:
    quoted = f'"{value}"' if "," in value else value
    with pytest.raises(LocationsError) as caught:
        read_locations(written(tmp_path, f"{X},{Y}\n1,2\n\n{quoted},4\n5,{quoted}\n"))
    assert [(p.what, p.where.split(", ", 1)[1]) for p in caught.value.problems] == [
        (f"{value!r} is not a number", f"line 4, column {X}"),
        (f"{value!r} is not a number", f"line 5, column {Y}"),
    ]


def test_very_many_bad_lines_are_cut_short(tmp_path: Path) -> None:
    with pytest.raises(LocationsError) as caught:
        read_locations(written(tmp_path, f"{X},{Y}\n" + "a,b\n" * 30))
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1].what == "... and 40 more problems"


@pytest.mark.parametrize(
    "content", [f"{X},{Y}\n1,2,3\n4,5,6\n", f"{X},{Y},{X}\n1,2,3\n", b"\xff\xfe\x00", b'"']
)
def test_files_that_are_no_table(tmp_path: Path, content: str | bytes) -> None:
    with pytest.raises(LocationsError):
        read_locations(written(tmp_path, content))
