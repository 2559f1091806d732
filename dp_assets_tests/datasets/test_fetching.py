"""Fetching files: resumed, checked, and answered with a remedy when it fails."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dp_assets.config.errors import ProjectError
from dp_assets.datasets.fetching import CHECKSUMS_FILE, PublicFile, fetch
from dp_assets_tests.datasets.server import Shelf, serving

CONTENT = np.random.default_rng(0).bytes(3_000_000)
OTHER = np.random.default_rng(1).bytes(3_000_000)


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with serving(Shelf({"a.bin": CONTENT, "b.bin": b"small"})) as shelf:
        yield shelf


def file_of(shelf: Shelf, name: str = "a.bin", sha256: str | None = None) -> PublicFile:
    return PublicFile(name, shelf.url + name, sha256)


def test_files_come_whole_and_in_order(shelf: Shelf, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    paths = fetch(
        [file_of(shelf), file_of(shelf, "b.bin")], tmp_path / "new", progress=lambda *p: seen.append(p)
    )
    assert [path.read_bytes() for path in paths] == [CONTENT, b"small"]
    assert ("a.bin", len(CONTENT), len(CONTENT)) in seen
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"a.bin", "b.bin", CHECKSUMS_FILE}


def test_what_is_there_is_not_fetched_again(shelf: Shelf, tmp_path: Path) -> None:
    fetch([file_of(shelf)], tmp_path)
    fetch([file_of(shelf)], tmp_path)
    assert len(shelf.requests) == 1


def test_a_broken_transfer_goes_on_where_it_was(shelf: Shelf, tmp_path: Path) -> None:
    shelf.breaks_after = 1_500_000
    with pytest.raises(ProjectError, match=r"1,500,000 bytes are kept") as caught:
        fetch([file_of(shelf)], tmp_path)
    assert str(tmp_path / "a.bin") in str(caught.value)
    assert not (tmp_path / "a.bin").exists()
    shelf.breaks_after = None
    assert fetch([file_of(shelf)], tmp_path)[0].read_bytes() == CONTENT
    assert shelf.requests[-1] == ("/a.bin", "bytes=1500000-")
    assert {path.name for path in tmp_path.iterdir()} == {"a.bin", CHECKSUMS_FILE}


@pytest.mark.parametrize("changed", [True, False])
def test_halves_of_two_files_are_never_put_together(shelf: Shelf, tmp_path: Path, changed: bool) -> None:
    shelf.breaks_after = 1_000_000
    with pytest.raises(ProjectError):
        fetch([file_of(shelf)], tmp_path)
    shelf.breaks_after = None
    if changed:
        shelf.files["a.bin"] = OTHER
    else:
        shelf.ranges = False
    assert fetch([file_of(shelf)], tmp_path)[0].read_bytes() == shelf.files["a.bin"]


def test_names_that_leave_the_folder_are_refused(shelf: Shelf, tmp_path: Path) -> None:
    hostile = PublicFile("../outside.bin", shelf.url + "a.bin")
    with pytest.raises(ProjectError, match="is no name of a file"):
        fetch([hostile], tmp_path / "inside")
    assert not (tmp_path / "outside.bin").exists()


def test_servers_that_compress_on_the_way(tmp_path: Path) -> None:
    with serving(Shelf({"a.csv": b"a,b\n1,2\n"}, compresses=True)) as shelf:
        (path,) = fetch([file_of(shelf, "a.csv")], tmp_path)
    assert path.read_bytes() == b"a,b\n1,2\n"


def test_a_part_longer_than_the_file_is_thrown_away(shelf: Shelf, tmp_path: Path) -> None:
    shelf.breaks_after = 1_000_000
    with pytest.raises(ProjectError):
        fetch([file_of(shelf)], tmp_path)
    shelf.breaks_after = None
    with (tmp_path / "a.bin.part").open("ab") as part:
        part.write(bytes(5_000_000))
    assert fetch([file_of(shelf)], tmp_path)[0].read_bytes() == CONTENT


def test_a_published_checksum_is_held_against_the_file(shelf: Shelf, tmp_path: Path) -> None:
    right = hashlib.sha256(CONTENT).hexdigest()
    assert fetch([file_of(shelf, sha256=right)], tmp_path / "right")[0].read_bytes() == CONTENT
    wrong = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(ProjectError, match="another checksum"):
        fetch([file_of(shelf, sha256=wrong)], tmp_path / "wrong")
    assert not (tmp_path / "wrong" / "a.bin").exists()


def test_the_first_checksum_is_kept_where_none_is_published(shelf: Shelf, tmp_path: Path) -> None:
    (path,) = fetch([file_of(shelf)], tmp_path)
    kept = json.loads((tmp_path / CHECKSUMS_FILE).read_text())
    assert kept == {"a.bin": hashlib.sha256(CONTENT).hexdigest()}
    path.write_bytes(CONTENT[:100])
    assert fetch([file_of(shelf)], tmp_path)[0].read_bytes() == CONTENT
    path.unlink()
    shelf.files["a.bin"] = OTHER
    with pytest.raises(ProjectError, match="another checksum"):
        fetch([file_of(shelf)], tmp_path)


def test_a_file_that_was_put_there_by_hand_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    unreachable = PublicFile("a.bin", "http://127.0.0.1:9/a.bin")
    assert fetch([unreachable], tmp_path)[0].read_bytes() == CONTENT


def test_no_connection_is_answered_with_the_place_to_put_the_file(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="cannot be fetched") as caught:
        fetch([PublicFile("a.bin", "http://127.0.0.1:9/a.bin")], tmp_path)
    assert f"put it at {tmp_path / 'a.bin'}" in str(caught.value)


def test_a_missing_file_is_named_with_its_address(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="answered 404") as caught:
        fetch([file_of(shelf, "c.bin")], tmp_path)
    assert shelf.url + "c.bin" in str(caught.value)


def test_damaged_checksums_are_an_error_with_a_remedy(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / CHECKSUMS_FILE).write_text("{")
    with pytest.raises(ProjectError, match="delete this file"):
        fetch([file_of(shelf)], tmp_path)
