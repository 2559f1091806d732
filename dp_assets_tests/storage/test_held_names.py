"""What killed writers left is removed by the next writer of the same target, and nothing else is."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dp_assets.storage.atomic import atomic_file, write_bytes
from dp_assets.storage.folders import FolderWriter, open_folder, publish_folder
from dp_assets.storage.held_names import held_sibling, remove_abandoned, temporary_sibling

FILE_WRITER = """
import sys
from pathlib import Path
from dp_assets.storage.atomic import atomic_file
with atomic_file(Path(sys.argv[1])) as stream:
    stream.write(b"half")
    stream.flush()
    print("writing", flush=True)
    sys.stdin.readline()
"""
FOLDER_WRITER = """
import sys
from pathlib import Path
from dp_assets.storage.folders import FolderWriter, publish_folder
def fill(folder):
    (folder / "half").write_text("half")
    print("writing", flush=True)
    sys.stdin.readline()
publish_folder(Path(sys.argv[1]), FolderWriter("killed", {}, fill))
"""


def writing(script: str, path: Path) -> subprocess.Popen[str]:
    """A process in the middle of a write."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path) -> None:
    (folder / "whole").write_text("whole")


@pytest.mark.parametrize("script", [FILE_WRITER, FOLDER_WRITER], ids=["file", "folder"])
def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path, script: str) -> None:
    target = tmp_path / "P1"

    def write() -> None:
        if script is FILE_WRITER:
            write_bytes(target, b"whole")
        else:
            publish_folder(target, FolderWriter("next", {}, fill))

    process = writing(script, target)
    try:
        assert not target.exists()
        (half,) = names_in(tmp_path)
        write()
        assert names_in(tmp_path) == [half, "P1"], "a writer that is alive was robbed"
    finally:
        process.kill()
        process.communicate()
    assert names_in(tmp_path) == [half, "P1"]
    write()
    assert names_in(tmp_path) == ["P1"]
    if script is FILE_WRITER:
        assert target.read_bytes() == b"whole"
    else:
        assert open_folder(target).fingerprint == "next"


def test_a_writer_that_is_overtaken_still_ends_with_its_own_content(tmp_path: Path) -> None:
    process = writing(FILE_WRITER, tmp_path / "P1")
    write_bytes(tmp_path / "P1", b"meanwhile")
    process.communicate("\n")
    assert process.returncode == 0
    assert (tmp_path / "P1").read_bytes() == b"half"
    assert names_in(tmp_path) == ["P1"]


def test_only_leftovers_of_the_same_target_go(tmp_path: Path) -> None:
    ours = temporary_sibling(tmp_path / "P1")
    others = [
        temporary_sibling(tmp_path / "P1.more"),
        temporary_sibling(tmp_path / "P10"),
        tmp_path / ".P1.previous",
        tmp_path / ".P1.lock",
        tmp_path / ".P1.notes.tmp",
        tmp_path / "P1.tmp",
    ]
    for path in (ours, *others):
        Path(str(path)).write_text("x")
    secret = tmp_path / "elsewhere"
    secret.mkdir()
    fill(secret)
    link = Path(str(temporary_sibling(tmp_path / "P1")))
    link.symlink_to(secret)
    remove_abandoned(tmp_path / "P1")
    assert not os.path.lexists(str(ours))
    assert all(Path(str(path)).exists() for path in others)
    assert names_in(secret) == ["whole"]


def test_many_writers_at_once_all_succeed(tmp_path: Path) -> None:
    """Each sweeps before it writes: none may take the file that another has just made."""
    problems: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for turn in range(40):
                with atomic_file(tmp_path / "P1") as stream:
                    stream.write(bytes([number]) * (turn + 1))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=write, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert names_in(tmp_path) == ["P1"]
    assert len(set((tmp_path / "P1").read_bytes())) == 1


def test_a_new_file_taken_for_a_dead_writers_is_made_again(tmp_path: Path) -> None:
    made = []

    def make(path: Path) -> None:
        path.touch()
        made.append(path)
        if len(made) == 1:
            remove_abandoned(tmp_path / "P1")

    with held_sibling(tmp_path / "P1", make) as temporary:
        assert temporary == made[1]
        assert names_in(tmp_path) == [temporary.name]
