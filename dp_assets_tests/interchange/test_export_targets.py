"""A file that a library writes appears whole or not at all, and what killed processes left goes away."""

from pathlib import Path

import h5py
import pytest

from dp_assets.interchange.export_targets import appearing_file


def write(path: Path, value: int) -> None:
    with appearing_file(path) as temporary, h5py.File(temporary, "w") as file:
        file["value"] = value


def value_of(path: Path) -> int:
    with h5py.File(path) as file:
        return int(file["value"][()])


def test_it_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.h5"
    with appearing_file(path) as temporary:
        temporary.write_bytes(b"half")
        assert not path.exists()
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def test_what_was_there_stays_when_the_block_raises(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    write(path, 1)

    def write_half() -> None:
        with appearing_file(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert value_of(path) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_process_are_removed_and_those_of_a_living_one_are_not(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with appearing_file(path) as first:
        left = first.parent
        first.write_bytes(b"")
    left.mkdir()
    (left / "x.h5").write_bytes(b"half")
    with appearing_file(path) as at_work:
        assert not left.exists()
        write(path, 2)
        at_work.write_bytes(b"later")
    assert path.read_bytes() == b"later"
    assert list(tmp_path.iterdir()) == [path]
