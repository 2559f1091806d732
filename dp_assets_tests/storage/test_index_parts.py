"""Parts of the image index: merged whole or not at all, and never lost or doubled, killed wherever."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dp_assets.config.errors import ImageIndexError
from dp_assets.storage import index_parts
from dp_assets.storage.fingerprints import fingerprint_bytes
from dp_assets.storage.index_file import IndexLocation, read_index, read_index_strings
from dp_assets.storage.index_parts import Part, explain, forget_problems, take_part, waiting_parts

CHANNELS = ("DNA",)
HEADER = "Metadata_Plate,Metadata_Well,Metadata_Site,DNA,Treatment"
FIRST = f"{HEADER}\nP1,A01,01,P1/a.tif,DMSO\nP1,A02,01,P1/b.tif,taxol\n"
SECOND = f"{HEADER}\nP2,A01,01,P2/a.tif,DMSO\n"


class Arrivals:
    """A folder of the index, and one where parts arrive."""

    def __init__(self, root: Path) -> None:
        self.folder, self.taken = root / "new", root / "taken"
        self.folder.mkdir(parents=True)
        self.index = IndexLocation(root / "index.csv", root / "images")

    def arrive(self, name: str, text: str) -> Part:
        (self.folder / name).write_text(text, encoding="utf-8")
        return Part(self.folder / name, fingerprint_bytes(text.encode()))

    def take(self, part: Part) -> int:
        return take_part(part, self.index, CHANNELS, self.taken).rows

    def plates(self) -> list[str]:
        return read_index(self.index, CHANNELS)["Metadata_Plate"].to_pylist()


@pytest.fixture
def arrivals(tmp_path: Path) -> Arrivals:
    made = Arrivals(tmp_path / "metadata")
    made.index.path.write_text(FIRST, encoding="utf-8")  # type: ignore[union-attr]
    return made


def test_rows_are_appended_and_the_part_moved(arrivals: Arrivals) -> None:
    assert arrivals.take(arrivals.arrive("p2.csv", SECOND)) == 1
    assert arrivals.index.path.read_text() == FIRST + SECOND.splitlines()[1] + "\n"
    assert [path.name for path in arrivals.taken.iterdir()] == ["p2.csv"]
    assert list(arrivals.folder.iterdir()) == []


def test_first_part_becomes_the_index(arrivals: Arrivals) -> None:
    arrivals.index.path.unlink()
    assert arrivals.take(arrivals.arrive("p2.csv", SECOND)) == 1
    assert arrivals.index.path.read_text() == SECOND


def test_what_stands_in_the_index_stays_byte_for_byte(arrivals: Arrivals) -> None:
    old = ("\ufeff" + FIRST.replace("\n", "\r\n").rstrip()).encode()
    arrivals.index.path.write_bytes(old)
    arrivals.take(arrivals.arrive("p2.csv", SECOND))
    new = arrivals.index.path.read_bytes()
    assert new == old + b"\r\nP2,A01,01,P2/a.tif,DMSO\r\n"
    assert arrivals.plates() == ["P1", "P1", "P2"]


def test_columns_may_stand_in_another_order_and_values_need_quoting(arrivals: Arrivals) -> None:
    text = 'Treatment,DNA,Metadata_Site,Metadata_Well,Metadata_Plate\n"a, ""b""",P2/a.tif,01,A01,P2\n'
    arrivals.take(arrivals.arrive("p2.csv", text))
    assert read_index_strings(arrivals.index.path).iloc[-1].tolist() == [
        "P2",
        "A01",
        "01",
        "P2/a.tif",
        'a, "b"',
    ]


def test_rows_listed_already_are_fine_and_counted_once(arrivals: Arrivals) -> None:
    both = FIRST + SECOND.splitlines()[1] + "\n"
    assert arrivals.take(arrivals.arrive("both.csv", both)) == 1
    assert arrivals.plates() == ["P1", "P1", "P2"]
    assert arrivals.take(arrivals.arrive("again.csv", both)) == 0
    assert arrivals.plates() == ["P1", "P1", "P2"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (SECOND.replace("P2,", "../P2,"), "cannot be used as a name"),
        (SECOND.replace("P2/a.tif", "../../etc/passwd"), "climbs out"),
        (
            SECOND.replace("Treatment", "Compound"),
            "other columns than the index: it lacks Treatment and has Compound",
        ),
        (SECOND + "P1,A02,01,P1/other.tif,taxol\n", "is in the index already, with DNA 'P1/b.tif'"),
        (SECOND + "P2,A01,01,P2/a.tif,DMSO\n", "more than once"),
        (HEADER + "\n", "no rows"),
        ("", "empty"),
        (SECOND + "P3,A01,01,P3/a.tif,DMSO,more,cells\n", "cannot be read"),
    ],
)
def test_bad_part_is_not_taken_at_all_and_says_why(arrivals: Arrivals, text: str, what: str) -> None:
    part = arrivals.arrive("bad.csv", text)
    with pytest.raises(ImageIndexError, match=what) as raised:
        arrivals.take(part)
    assert arrivals.index.path.read_text() == FIRST
    explain(part, raised.value)
    assert what in (arrivals.folder / "bad.csv.problem.txt").read_text()
    assert waiting_parts(arrivals.folder) == [part]
    # once put right it is taken, and the words go away
    assert arrivals.take(arrivals.arrive("bad.csv", SECOND)) == 1
    assert list(arrivals.folder.iterdir()) == []


def test_words_on_a_part_that_is_gone_are_removed(arrivals: Arrivals) -> None:
    part = arrivals.arrive("bad.csv", "")
    explain(part, ImageIndexError("empty", where="here", remedy="fill it"))
    part.path.unlink()
    forget_problems(arrivals.folder)
    assert list(arrivals.folder.iterdir()) == []


def test_files_still_being_copied_are_not_looked_at(arrivals: Arrivals) -> None:
    for name in (".p2.csv", "p2.csv.tmp", "p2.txt", ".p2.csv.123.tmp"):
        arrivals.arrive(name, SECOND)
    (arrivals.folder / "folder.csv").mkdir()
    assert waiting_parts(arrivals.folder) == []


def test_part_that_changes_while_it_is_read_is_left(arrivals: Arrivals) -> None:
    part = arrivals.arrive("p2.csv", SECOND)
    arrivals.arrive("p2.csv", SECOND + "P2,A02,01,P2/b.tif,taxol\n")
    with pytest.raises(ImageIndexError, match="changed while it was read"):
        arrivals.take(part)
    assert arrivals.index.path.read_text() == FIRST


def test_parts_of_one_name_are_all_kept(arrivals: Arrivals) -> None:
    arrivals.take(arrivals.arrive("part.csv", SECOND))
    arrivals.take(arrivals.arrive("part.csv", SECOND.replace("P2", "P3")))
    assert sorted(path.name for path in arrivals.taken.iterdir()) == ["part-2.csv", "part.csv"]
    assert arrivals.plates() == ["P1", "P1", "P2", "P3"]


@pytest.mark.parametrize("killed_after", range(6))
def test_killed_anywhere_nothing_is_lost_or_doubled(
    arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    """Every step that changes the disk is a place to be killed at, before and after it."""
    part = arrivals.arrive("p2.csv", SECOND)
    steps = 0

    def dying(step: Callable) -> Callable:
        def run(*arguments: object, **options: object) -> object:
            nonlocal steps
            if steps == killed_after:
                raise KeyboardInterrupt
            result = step(*arguments, **options)
            steps += 2
            if steps == killed_after + 1:
                raise KeyboardInterrupt
            return result

        return run

    with monkeypatch.context() as patch:
        patch.setattr(index_parts, "write_bytes", dying(index_parts.write_bytes))
        patch.setattr(Path, "unlink", dying(Path.unlink))
        with pytest.raises(KeyboardInterrupt):
            arrivals.take(part)
    assert arrivals.plates() in (["P1", "P1"], ["P1", "P1", "P2"])
    for left in waiting_parts(arrivals.folder):
        arrivals.take(left)
    assert arrivals.plates() == ["P1", "P1", "P2"]
    assert [path.name for path in arrivals.taken.iterdir()] == ["p2.csv"]
    assert waiting_parts(arrivals.folder) == []


def test_parquet_index_keeps_its_types(arrivals: Arrivals) -> None:
    place = arrivals.index.path.with_name("index.parquet")
    frame = pd.DataFrame(
        {
            "Metadata_Plate": ["P1"],
            "Metadata_Well": ["A01"],
            "Metadata_Site": [1],
            "DNA": ["a.tif"],
            "Dose": [0.5],
        }
    )
    frame.to_parquet(place, index=False)
    index = IndexLocation(place, arrivals.index.images)
    part = arrivals.arrive(
        "p2.csv", "Metadata_Plate,Metadata_Well,Metadata_Site,DNA,Dose\nP2,A01,2,b.tif,1.5\n"
    )
    assert take_part(part, index, CHANNELS, arrivals.taken).rows == 1
    table = pq.read_table(place)
    assert table.schema.field("Metadata_Site").type == pa.int64()
    assert table["Dose"].to_pylist() == [0.5, 1.5]
    bad = arrivals.arrive(
        "p3.csv", "Metadata_Plate,Metadata_Well,Metadata_Site,DNA,Dose\nP3,A01,2,b.tif,high\n"
    )
    with pytest.raises(ImageIndexError, match="column Dose of the index holds double"):
        take_part(bad, index, CHANNELS, arrivals.taken)
    assert pq.read_table(place).num_rows == 2


def test_parquet_part_joins_a_csv_index(arrivals: Arrivals) -> None:
    path = arrivals.folder / "p2.parquet"
    frame = pd.DataFrame([["P2", "A01", 1, "P2/a.tif", "DMSO"]], columns=HEADER.split(","))
    frame.to_parquet(path, index=False)
    (part,) = waiting_parts(arrivals.folder)
    assert arrivals.take(part) == 1
    assert arrivals.index.path.read_text() == FIRST + "P2,A01,1,P2/a.tif,DMSO\n"
