"""Work folders: one writer at a time, units whole or absent, damage never believed."""

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dp_assets.config.errors import AtWorkError, StoreError
from dp_assets.storage import work as work_module
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.work import WorkFolder

HOLDER = """
import sys
from pathlib import Path
from dp_assets.storage.work import WorkFolder
with WorkFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "LOCK_TIMEOUT_SECONDS", 0.05)


FILES = {".bin": b"windows" * 100, "-0.png": b"pixels"}


def kept(path: Path) -> WorkFolder:
    """A work folder with the units `abc` and `abd`."""
    work = WorkFolder(path)
    work.keep("abc", FILES, {"cells": 3, "centres": [0.1, 2.5]})
    work.keep("abd", {".bin": b""})
    return work


def test_units_are_found_again_until_cleared(tmp_path: Path) -> None:
    seal = kept(tmp_path / "asset" / "P1").seal("abc")
    again = WorkFolder(tmp_path / "asset" / "P1")
    assert again.finished_among(["abd", "abc", "abe"], workers=2) == {"abc", "abd"}
    assert again.facts("abc") == {"cells": 3, "centres": [0.1, 2.5]}
    assert again.file("abc", ".bin").read_bytes() == FILES[".bin"]
    assert again.seal("abc") == seal
    assert again.seal("abd") != seal
    again.clear()
    assert not again.path.exists()
    assert not again.finished("abc")
    again.clear()


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def missing(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    (path / "something").mkdir(parents=True)


def broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff\x00[" * 50)


def deeply_nested(path: Path) -> None:
    path.write_text("[" * 100_000, encoding="utf-8")


def another_version(path: Path) -> None:
    record = {**json.loads(path.read_bytes())["record"], "format": work_module.FORMAT + 1}
    path.write_text(json.dumps({"record": record, "seal": fingerprint("unit", record)}), encoding="utf-8")


def of_another_unit(path: Path) -> None:
    path.write_bytes(path.with_name("abd.unit").read_bytes())


DAMAGES = [cut_off, emptied, zeroed, one_bit, longer, missing, folder, broken_link, garbage]


@pytest.mark.parametrize(
    ("ending", "damage"),
    [
        *((ending, damage) for ending in (".bin", "-0.png", ".unit") for damage in DAMAGES),
        *((".unit", damage) for damage in (deeply_nested, another_version, of_another_unit)),
    ],
)
def test_a_damaged_unit_is_not_believed_and_can_be_made_again(
    tmp_path: Path, ending: str, damage: Callable[[Path], None]
) -> None:
    work = kept(tmp_path / "P1")
    damage(work.file("abc", ending))
    with work.locked():
        assert work.finished_among(["abc", "abd"]) == {"abd"}
        work.keep("abc", FILES, "new")
        assert work.finished("abc")
    assert work.facts("abc") == "new"
    assert {ending: work.file("abc", ending).read_bytes() for ending in FILES} == FILES
    assert not list(work.path.rglob(".*"))


def test_the_record_comes_last_and_a_unit_that_could_not_be_written_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = WorkFolder(tmp_path / "P1")

    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            work.keep("abc", FILES)
    assert not work.finished("abc")
    assert not any(path.is_file() for path in work.path.rglob("*"))


def test_a_file_where_the_folder_should_be_gives_way(tmp_path: Path) -> None:
    for place in (tmp_path / "P1", tmp_path / "P2" / "parts"):
        place.parent.mkdir(exist_ok=True)
        place.write_text("in the way", encoding="utf-8")
    for name in ("P1", "P2"):
        with WorkFolder(tmp_path / name).locked() as work:
            work.keep("abc", FILES)
            assert work.finished("abc")


def test_what_a_killed_run_left_half_written_is_swept_up(tmp_path: Path) -> None:
    work = kept(tmp_path / "P1")
    left = work.file(".abe.bin.0123.tmp", "")
    left.write_bytes(b"half")
    with work.locked():
        assert not left.exists()
        assert work.finished_among(["abc", "abd"]) == {"abc", "abd"}


def test_finished_work_that_goes_away_under_the_run_is_named(tmp_path: Path) -> None:
    work = kept(tmp_path / "P1")
    work.drop("abc")
    assert not any(path.name.startswith("abc") for path in work.path.rglob("*"))
    for ask in (work.facts, work.seal):
        with pytest.raises(StoreError, match="damaged or removed") as caught:
            ask("abc")
        assert "start the run again" in caught.value.problems[0].remedy


@pytest.mark.parametrize("linked", [False, True])
def test_only_what_is_as_its_seal_says_is_taken_over(tmp_path: Path, linked: bool) -> None:
    seal = kept(tmp_path / "P1").seal("abc")
    facts = {"centres": [0.1, 2.5], "cells": 3}
    (tmp_path / "published").mkdir()
    files: dict[str, bytes | Path] = {}
    for ending, data in FILES.items():
        (tmp_path / "published" / f"file{ending}").write_bytes(data)
        files[ending] = tmp_path / "published" / f"file{ending}" if linked else data
    work = WorkFolder(tmp_path / "P2")
    with work.locked():
        assert not work.adopt("abc", seal, files, {**facts, "cells": 4})
        assert not work.adopt("abe", seal, files, facts)
        assert not work.adopt("abc", seal, {**files, ".bin": b"other"}, facts)
        assert not any(path.is_file() for path in work.path.rglob("*"))
        assert work.adopt("abc", seal, files, facts)
        assert work.finished("abc")
        assert work.seal("abc") == seal


def test_a_second_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    path = tmp_path / "asset" / "P1"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AtWorkError, match="another run is working") as caught, WorkFolder(path).locked():
            pass
        assert caught.value.problems[0].where == str(path)
        with WorkFolder(tmp_path / "asset" / "P2").locked():
            pass
        holder.kill()
    with WorkFolder(path).locked() as work:
        assert work.path.is_dir()


def test_a_second_thread_is_refused_too(tmp_path: Path) -> None:
    refused = []

    def other() -> None:
        try:
            with WorkFolder(tmp_path / "P1").locked():
                pass
        except AtWorkError as error:
            refused.append(error)

    with WorkFolder(tmp_path / "P1").locked():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_the_lock_is_given_back_after_a_failure_and_survives_clearing(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "P1")

    def fail() -> None:
        with work.locked():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with work.locked():
        work.clear()
        with pytest.raises(AtWorkError), WorkFolder(tmp_path / "P1").locked():
            pass
    with work.locked():
        assert work.path.is_dir()


def test_what_need_not_be_forced_to_disk_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forced: list[int] = []
    monkeypatch.setattr(os, "fsync", forced.append)
    work = WorkFolder(tmp_path)
    files = {".bin": b"content"}
    assert work.keep("a", files, [1], forced=False) == work.keep("a", files, [1])
    assert len(forced) == 1
    assert work.finished("a")
    assert work.file("a", ".bin").read_bytes() == b"content"
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["a.bin", "a.unit"]


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match=r"No space left on device.*a\.bin"):
        WorkFolder(tmp_path).keep("a", {".bin": b"content"}, forced=False)
    assert not list((tmp_path / "parts").iterdir())


@pytest.mark.parametrize("damage", [b"CONTENT", b"conten", None])
def test_content_that_changed_while_a_run_uses_it_is_noticed(tmp_path: Path, damage: bytes | None) -> None:
    work = WorkFolder(tmp_path)
    work.keep("a", {".bin": b"content"}, forced=False)
    assert work.content("a", ".bin") == b"content"
    if damage is None:
        work.file("a", ".bin").unlink()
    else:
        work.file("a", ".bin").write_bytes(damage)
    with pytest.raises(StoreError, match=r"a\.bin: finished work was damaged"):
        work.content("a", ".bin")
