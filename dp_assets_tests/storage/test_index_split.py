"""Dividing the index: together the parts hold every row once, and whole plates or wells."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.config.errors import ImageIndexError, ProjectError
from dp_assets.storage.index_split import split_index

COLUMNS = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "DNA"]
Row = tuple[str, ...]


def rows_of(sizes: list[tuple[str, str, int]]) -> list[Row]:
    return [(p, w, f"{s:02d}", f"{p}/{w}, {s}.tif") for p, w, count in sizes for s in range(count)]


def write(folder: Path, rows: list[Row], name: str = "index.csv") -> None:
    frame = pd.DataFrame(rows, columns=COLUMNS, dtype=str)
    frame.to_csv(folder / name, index=False) if name.endswith("csv") else frame.to_parquet(folder / name)


def read(path: Path) -> list[Row]:
    with path.open(newline="") as stream:
        lines = [tuple(line) for line in csv.reader(stream)]
    assert list(lines[0]) == COLUMNS
    return lines[1:]


WELLS = st.lists(
    st.tuples(st.sampled_from(["P1", "P2", "NA", "4"]), st.sampled_from(["A01", "B02"]), st.integers(1, 4)),
    min_size=1,
    max_size=8,
    unique_by=lambda well: well[:2],
)


@settings(max_examples=40, deadline=None)
@given(sizes=WELLS, by=st.sampled_from(["plate", "well"]), data=st.data())
def test_every_row_is_in_one_part_and_groups_stay_whole(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[str, str, int]], by: str, data: st.DataObject
) -> None:
    def group(row: Row) -> Row:
        return row[:1] if by == "plate" else row[:2]

    folder, rows = tmp_path_factory.mktemp("split"), rows_of(sizes)
    write(folder, rows)
    groups = {group(row) for row in rows}
    parts = data.draw(st.integers(1, len(groups)))
    files = split_index(folder, parts, by)
    assert [path.name for path in files] == [f"index-{number:03d}.csv" for number in range(parts)]
    found = [read(path) for path in files]
    assert sorted(row for part in found for row in part) == sorted(rows)
    for part in found:
        assert part == [row for row in rows if row in set(part)]  # in the order of the index
    for first in range(parts):
        for second in range(first):
            assert not {group(row) for row in found[first]} & {group(row) for row in found[second]}
    largest = max(sum(group(row) == name for row in rows) for name in groups)
    assert max(map(len, found)) - min(map(len, found)) <= largest
    assert read(folder / "index.csv") == rows


def test_a_parquet_index_is_divided_like_a_csv(tmp_path: Path) -> None:
    rows = rows_of([("P1", "A01", 2), ("P2", "A01", 1)])
    write(tmp_path, rows, "index.parquet")
    frame = pd.read_parquet(tmp_path / "index.parquet").assign(Dose=[1.0, float("nan"), 2.5])
    frame.to_parquet(tmp_path / "index.parquet")
    first, second = split_index(tmp_path, 2)
    assert first.read_text().splitlines()[1:] == ['P1,A01,00,"P1/A01, 0.tif",1', 'P1,A01,01,"P1/A01, 1.tif",']
    assert second.read_text().splitlines()[1:] == ['P2,A01,00,"P2/A01, 0.tif",2.5']


@pytest.mark.parametrize(("parts", "by"), [(0, "plate"), (3, "plate"), (4, "well"), (-1, "well")])
def test_more_parts_than_groups(tmp_path: Path, parts: int, by: str) -> None:
    write(tmp_path, rows_of([("P1", "A01", 1), ("P1", "A02", 1), ("P2", "A01", 1)]))
    with pytest.raises(
        ProjectError, match=rf"{parts} parts were asked for; the index has \d {by}s"
    ) as caught:
        split_index(tmp_path, parts, by)
    assert ("or split by well" in caught.value.problems[0].remedy) == (by == "plate")
    assert not list(tmp_path.glob("index-*"))


def test_an_index_without_plates_or_no_index(tmp_path: Path) -> None:
    with pytest.raises(ImageIndexError, match="there is no image index"):
        split_index(tmp_path, 1)
    (tmp_path / "index.csv").write_text("Metadata_Plate\nP1\n")
    with pytest.raises(ImageIndexError, match="column Metadata_Well is missing"):
        split_index(tmp_path, 1, "well")
