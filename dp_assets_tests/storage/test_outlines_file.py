"""outlines.csv and the index column: what they list, and every mistake with its line."""

from pathlib import Path

import pyarrow as pa
import pytest

from dp_assets.config.errors import ImageIndexError
from dp_assets.storage.outlines_file import read_outlines

HEADER = "Metadata_Plate,Metadata_Well,Metadata_Site,Outlines"


def index(**columns: list[str]) -> pa.Table:
    count = len(next(iter(columns.values()), ["", ""]))
    wells = [f"A{number + 1:02d}" for number in range(count)]
    key = {"Metadata_Plate": ["P1"] * count, "Metadata_Well": wells, "Metadata_Site": ["01"] * count}
    return pa.table({name: pa.array(values, pa.string()) for name, values in {**key, **columns}.items()})


def written(folder: Path, *lines: str) -> Path:
    (folder / "outlines.csv").write_text("\n".join((HEADER, *lines)) + "\n", encoding="utf-8")
    return folder


def problems(folder: Path, table: pa.Table | None = None, roots: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ImageIndexError) as caught:
        read_outlines(folder, table if table is not None else index(), roots)
    return [str(problem) for problem in caught.value.problems]


def test_the_file_comes_first(tmp_path: Path) -> None:
    written(tmp_path, "P1,A01,01,p1/a.png", "P1,A02,1,p1/b.png", "P9,A01,01,c.tif", "P1,A03,01,")
    listing = read_outlines(tmp_path, index(Outlines=["x.png", "y.png"]))
    assert listing.paths == {
        ("P1", "A01", "01"): "p1/a.png",
        ("P1", "A02", "1"): "p1/b.png",
        ("P9", "A01", "01"): "c.tif",
    }
    assert listing.source == str(tmp_path / "outlines.csv")


def test_the_column_of_the_index(tmp_path: Path) -> None:
    listing = read_outlines(tmp_path, index(Outlines=["x.png", "  ", "z.png"]))
    assert listing.paths == {("P1", "A01", "01"): "x.png", ("P1", "A03", "01"): "z.png"}
    assert "index" in listing.source


def test_neither(tmp_path: Path) -> None:
    [message] = problems(tmp_path)
    for part in (
        str(tmp_path / "outlines.csv"),
        "mask_objects",
        HEADER.replace(",Outlines", "").split(",")[0],
    ):
        assert part in message
    assert "inputs/outlines" in message


def test_columns_that_are_missing(tmp_path: Path) -> None:
    (tmp_path / "outlines.csv").write_text("Metadata_Plate,Well,Outlines\nP1,A01,a.png\n")
    [message] = problems(tmp_path)
    assert "Metadata_Well and Metadata_Site is missing" in message
    assert "line 1" in message
    (tmp_path / "outlines.csv").write_text("")
    [message] = problems(tmp_path)
    assert "columns are: none" in message


def test_lines_that_cannot_be_used(tmp_path: Path) -> None:
    written(
        tmp_path,
        "P1,A01,01,a.png",
        "P1,A02,01,../a.png",
        "P1,A01,01,b.png",
        "P1,A03,01,/data/a.png",
        "P1,A04,01,s3://bucket/a.png",
        "P1,A05,01,fine.png",
    )
    found = problems(tmp_path, roots=("/elsewhere",))
    assert [message.split(", column")[0].rsplit("line ", 1)[1].split(":")[0] for message in found] == [
        "3",
        "4",
        "5",
        "6",
    ]
    assert "climbs out" in found[0]
    assert "plate P1, well A01, site 01 is listed more than once" in found[1]
    assert "image_roots" in found[2]
    allowed = read_outlines(written(tmp_path, "P1,A03,01,/data/a.png"), index(), image_roots=("/data",))
    assert allowed.paths == {("P1", "A03", "01"): "/data/a.png"}


def test_paths_of_the_index_are_checked_too(tmp_path: Path) -> None:
    [message] = problems(tmp_path, index(Outlines=["x.png", "../y.png"]))
    assert "P1/A02/01" in message
    assert "climbs out" in message


def test_no_more_problems_than_can_be_read(tmp_path: Path) -> None:
    written(tmp_path, *(f"P1,A{number},01,../a.png" for number in range(50)))
    found = problems(tmp_path)
    assert len(found) == 21
    assert "30 more" in found[-1]
