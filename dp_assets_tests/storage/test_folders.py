"""Folders are published whole: whatever happens on the way, a reader sees the former one or the new one."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from upath import UPath

from dp_assets.config.errors import StoreError, StoreUnreachableError
from dp_assets.storage.folders import MANIFEST, FolderWriter, open_folder, publish_folder
from dp_assets_tests.storage.stores import KINDS, store


def writer(content: str, fill: Callable[[Path], None] | None = None) -> FolderWriter:
    def write(folder: Path) -> None:
        assert list(folder.iterdir()) == []
        (folder / "a.txt").write_text(content)
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "b.bin").write_bytes(content.encode() * 3)

    return FolderWriter(f"made of {content}", {"what": content, "sites": [1]}, fill or write)


def assert_holds(path: Path | UPath, content: str) -> None:
    folder = open_folder(path)
    assert folder.fingerprint == f"made of {content}"
    assert folder.manifest["what"] == content
    assert folder.manifest["sites"] == [1]
    assert (folder.path / "a.txt").read_text() == content
    assert (folder.path / "deep" / "er" / "b.bin").read_bytes() == content.encode() * 3


def neighbours(path: Path | UPath) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_publishing_and_replacing(tmp_path: Path, kind: str) -> None:
    path = store(kind, tmp_path) / "asset" / "P1"
    with pytest.raises(FileNotFoundError, match="never published"):
        open_folder(path)
    assert publish_folder(path, writer("one")).fingerprint == "made of one"
    assert_holds(path, "one")
    publish_folder(path, writer("two"))
    assert_holds(path, "two")
    assert neighbours(path) == ["P1"]
    files = [file for file in path.rglob("*") if file.is_file()]
    # Locally nothing of the former one is left; on an object store whoever opened it may go on reading.
    assert len(files) == (5 if kind == "memory" else 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failing_fill_leaves_the_former_folder(
    tmp_path: Path, kind: str, error: type[BaseException]
) -> None:
    path = store(kind, tmp_path) / "asset" / "P1"

    def failing(folder: Path) -> None:
        (folder / "a.txt").write_text("half")
        raise error("disk full")

    with pytest.raises(error):
        publish_folder(path, writer("none", failing))
    with pytest.raises(FileNotFoundError):
        open_folder(path)
    publish_folder(path, writer("one"))
    with pytest.raises(error):
        publish_folder(path, writer("two", failing))
    assert_holds(path, "one")
    assert neighbours(path) == ["P1"]
    assert len([file for file in path.rglob("*") if file.is_file()]) == 3


def test_a_failing_upload_leaves_the_former_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = UPath("memory://failing-upload/P1")
    publish_folder(path, writer("one"))
    put, calls = type(path.fs).put_file, []

    def failing_put(self: object, *args: object, **kwargs: object) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise ConnectionError("lost")
        put(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(type(path.fs), "put_file", failing_put)
        with pytest.raises(StoreUnreachableError, match="nothing published is lost"):
            publish_folder(path, writer("two"))
    assert len(calls) == 2
    assert_holds(path, "one")
    assert len([file for file in path.rglob("*") if file.is_file()]) == 3


def test_a_crash_between_the_renames_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "P1"
    publish_folder(path, writer("one"))
    os.replace(path, tmp_path / ".P1.previous")
    assert_holds(path, "one")
    assert not path.exists()  # a reader moves nothing: a writer may be at work
    publish_folder(path, writer("two"))
    assert_holds(path, "two")
    assert neighbours(path) == ["P1"]


def test_a_crash_after_the_renames_does_not_block_the_next_publication(tmp_path: Path) -> None:
    path = tmp_path / "P1"
    publish_folder(path, writer("one"))
    shutil.copytree(path, tmp_path / ".P1.previous")
    assert_holds(path, "one")
    publish_folder(path, writer("two"))
    assert_holds(path, "two")
    assert neighbours(path) == ["P1"]


def test_a_failing_second_rename_puts_the_former_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "P1"
    publish_folder(path, writer("one"))
    replace = os.replace

    def failing(source: str | Path, target: str | Path) -> None:
        if Path(target) == path and Path(source).suffix == ".tmp":
            raise PermissionError("no")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing)
        with pytest.raises(PermissionError):
            publish_folder(path, writer("two"))
    assert_holds(path, "one")
    assert neighbours(path) == ["P1"]


def test_a_folder_without_manifest_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "P1").mkdir()
    (tmp_path / "P1" / "a.txt").write_text("half")
    with pytest.raises(FileNotFoundError, match="never published"):
        open_folder(tmp_path / "P1")
    publish_folder(tmp_path / "P1", writer("one"))
    assert_holds(tmp_path / "P1", "one")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", [b"", b'{"fingerprint": "x', b"[]", b"{}", b"\xff\xfe{}"])
def test_a_damaged_manifest_is_named_and_can_be_replaced(tmp_path: Path, kind: str, damage: bytes) -> None:
    path = store(kind, tmp_path) / "asset" / "P1"
    publish_folder(path, writer("one"))
    (path / MANIFEST).write_bytes(damage)
    with pytest.raises(StoreError, match="manifest cannot be read") as caught:
        open_folder(path)
    assert MANIFEST in caught.value.problems[0].where
    publish_folder(path, writer("two"))
    assert_holds(path, "two")


def test_the_manifest_is_plain_json_with_the_fingerprint(tmp_path: Path) -> None:
    publish_folder(tmp_path / "P1", writer("one"))
    manifest = json.loads((tmp_path / "P1" / MANIFEST).read_text())
    assert len(manifest.pop("seal")) == 32
    assert manifest == {"what": "one", "sites": [1], "fingerprint": "made of one"}


def test_a_manifest_that_says_something_else_than_was_written_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "P1"
    publish_folder(path, writer("one"))
    text = (path / MANIFEST).read_text()
    (path / MANIFEST).write_text(text.replace("made of one", "made of two"))
    with pytest.raises(StoreError, match="not what was written"):
        open_folder(path)
    (path / MANIFEST).write_text(text)
    assert_holds(path, "one")


def test_a_manifest_of_an_earlier_version_has_no_seal(tmp_path: Path) -> None:
    path = tmp_path / "P1"
    publish_folder(path, writer("one"))
    manifest = json.loads((path / MANIFEST).read_text())
    del manifest["seal"]
    (path / MANIFEST).write_text(json.dumps(manifest))
    assert_holds(path, "one")


def test_a_file_url_publishes_too(tmp_path: Path) -> None:
    path = UPath(f"file://{tmp_path}/asset/P1")
    publish_folder(path, writer("one"))
    publish_folder(path, writer("two"))
    assert_holds(path, "two")
