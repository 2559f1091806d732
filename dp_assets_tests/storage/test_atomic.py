"""Files appear whole or not at all, locally and on an object store."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from dp_assets.storage.atomic import atomic_file, is_local, write_bytes
from dp_assets.storage.held_names import temporary_sibling

NUMBERS = itertools.count()


def places(tmp_path: Path) -> list[Path | UPath]:
    return [
        tmp_path,
        UPath(tmp_path),
        UPath(f"memory://atomic{next(NUMBERS)}"),
        UPath(f"file://{tmp_path}/url"),
    ]


def names_in(folder: Path | UPath) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("number", range(4))
def test_a_failed_writing_leaves_what_was_there(tmp_path: Path, number: int) -> None:
    folder = places(tmp_path)[number] / "deep" / "folder"
    path = folder / "x.bin"
    write_bytes(path, b"former")

    def half_written() -> None:
        with atomic_file(path) as stream:
            stream.write(b"half")
            assert path.read_bytes() == b"former"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_written()
    assert path.read_bytes() == b"former"
    assert names_in(folder) == ["x.bin"]
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert names_in(folder) == ["x.bin"]


@given(data=st.binary(max_size=50))
def test_bytes_come_back(data: bytes) -> None:
    path = UPath("memory://atomic-bytes/x")
    write_bytes(path, data)
    assert path.read_bytes() == data


def test_what_is_local(tmp_path: Path) -> None:
    assert is_local(tmp_path)
    assert is_local(UPath(tmp_path))
    assert not is_local(UPath("memory://x/y"))


def test_temporary_names_are_hidden_and_differ(tmp_path: Path) -> None:
    first, second = temporary_sibling(tmp_path / "a.b"), temporary_sibling(tmp_path / "a.b")
    assert first != second
    assert first.parent == tmp_path
    assert first.name.startswith(".a.b.")
