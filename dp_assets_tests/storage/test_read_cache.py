"""Copies of what was read from an object store: right, within their limit, and no reason to fail."""

import errno
import logging
import os
import threading
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from upath import UPath

from dp_assets.config.errors import ContentChangedError, StoreAccessError
from dp_assets.storage import read_cache
from dp_assets.storage.folders import FolderWriter, open_folder, publish_folder
from dp_assets.storage.image_sites import ImageSite
from dp_assets.storage.images import inspect_image
from dp_assets.storage.label_images import inspect_label_image, read_label_image
from dp_assets.storage.layout import CacheSettings, ProjectLayout
from dp_assets.storage.read_cache import ReadCache
from dp_assets.storage.remote import LocalSide, make_known, open_stored
from dp_assets_tests.s3_server import S3Server
from dp_assets_tests.storage.stores import store


@pytest.fixture
def place(tmp_path: Path) -> UPath:
    return UPath(store("memory", tmp_path))


def read(cache: ReadCache, path: UPath) -> bytes | None:
    stream = cache.open(path)
    if stream is None:
        return None
    with stream:
        return stream.read()


def entries(cache: ReadCache) -> list[Path]:
    ignored = (read_cache.LOCKS,)
    return [file for file in cache.folder.rglob("*") if file.is_file() and file.parent.name not in ignored]


def held(cache: ReadCache) -> int:
    return sum(entry.stat().st_size for entry in entries(cache))


def test_a_version_is_fetched_once_and_not_asked_for_again(
    bucket: UPath, s3_server: S3Server, tmp_path: Path
) -> None:
    data = os.urandom(3000)
    publish_folder(
        bucket / "P1", FolderWriter("x", {}, lambda folder: (folder / "a").write_bytes(data) and None)
    )
    path = UPath(open_folder(bucket / "P1").path / "a")
    cache = ReadCache(tmp_path / "cache", 10**6)
    s3_server.requests.clear()
    assert read(cache, path) == data
    assert s3_server.count("GET", "/a") == 1
    s3_server.requests.clear()
    assert read(cache, path) == data
    assert read(ReadCache(tmp_path / "cache", 10**6), path) == data
    assert s3_server.requests == []


def test_what_may_be_replaced_is_looked_at(bucket: UPath, s3_server: S3Server, tmp_path: Path) -> None:
    path, cache = bucket / "x.parquet", ReadCache(tmp_path / "cache", 10**6)
    path.write_bytes(b"one")
    assert [read(cache, path), read(cache, path)] == [b"one", b"one"]
    assert s3_server.count("GET", "x.parquet") == 1
    stream = cache.open(path)
    path.write_bytes(b"two")
    assert read(cache, path) == b"two"
    assert stream is not None
    with stream:
        assert stream.read() == b"one", "whoever reads the former content goes on"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        cache.open(path)


def test_the_least_recently_used_go_first(place: UPath, tmp_path: Path) -> None:
    cache = ReadCache(tmp_path / "cache", 1000)
    paths = [place / str(number) for number in range(4)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 300)
    for number, path in enumerate(paths[:3]):
        read(cache, path)
        for entry in entries(cache):
            if entry.stat().st_mtime > 10**6:
                os.utime(entry, (number, number))
    read(cache, paths[0])
    assert read(cache, paths[3]) == b"\3" * 300
    kept = sorted(entry.read_bytes()[0] for entry in entries(cache))
    assert kept == [0, 2, 3]
    assert held(cache) <= 1000


def test_it_never_holds_more_than_its_limit(place: UPath, tmp_path: Path) -> None:
    cache = ReadCache(tmp_path / "cache", 10_000)
    for number in range(60):
        path = place / str(number)
        path.write_bytes(os.urandom(100 + 37 * number))
        assert read(cache, path) == path.read_bytes()
        assert held(cache) <= 10_000
    large = place / "large"
    large.write_bytes(bytes(10_001))
    assert cache.open(large) is None
    assert len(entries(cache)) > 2


@pytest.mark.parametrize("damage", [b"", b"half", b"more than there was"])
def test_a_damaged_copy_is_fetched_again(place: UPath, tmp_path: Path, damage: bytes) -> None:
    cache, path = ReadCache(tmp_path / "cache", 1000), place / "x"
    path.write_bytes(b"whole content")
    read(cache, path)
    (entry,) = entries(cache)
    entry.write_bytes(damage)
    assert read(cache, path) == b"whole content"
    assert entry.read_bytes() == b"whole content"


def test_a_download_that_is_cut_off_is_not_believed(
    place: UPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, path = ReadCache(tmp_path / "cache", 1000), place / "x"
    path.write_bytes(b"whole content")

    def half(self: object, remote: str, local: str, **_: object) -> None:
        Path(local).write_bytes(b"whole")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(path.fs), "get_file", half)
        with pytest.raises(KeyboardInterrupt):
            cache.open(path)
        # The power fails: nothing is tidied up.
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            cache.open(path)
    assert len(entries(cache)) == 1
    assert read(cache, path) == b"whole content"


def test_an_object_that_arrives_short_is_no_copy(
    place: UPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, path = ReadCache(tmp_path / "cache", 1000), place / "x"
    path.write_bytes(b"whole content")

    def short(self: object, remote: str, local: str, **_: object) -> None:
        Path(local).write_bytes(b"whole")

    monkeypatch.setattr(type(path.fs), "get_file", short)
    assert cache.open(path) is None
    assert entries(cache) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_is_said_once_and_does_not_matter(
    place: UPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    side = LocalSide(tmp_path / "uploads", ReadCache(tmp_path / "cache", 1000))
    make_known(place, side)
    for name in ("a", "b"):
        (place / name).write_bytes(name.encode())

    def full(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with caplog.at_level(logging.WARNING):
        for name in ("a", "b"):
            with open_stored(place / name) as stream:
                assert stream.read() == name.encode()
    assert len([record for record in caplog.records if "cannot be used" in record.message]) == 1
    assert side.cache is not None
    assert entries(side.cache) == []


def test_a_damaged_copy_is_fetched_again_and_a_changed_image_is_not_believed(
    place: UPath, tmp_path: Path
) -> None:
    side = LocalSide(tmp_path / "uploads", ReadCache(tmp_path / "cache", 10**6))
    make_known(place, side)
    pixels = np.arange(20, dtype=np.uint16).reshape(4, 5)
    path = place / "1.png"
    path.write_bytes(imagecodecs.png_encode(pixels))
    known = inspect_image(path).fingerprint
    site = ImageSite("P", "A01", "1", (4, 5), (path,), (known,), ("1.png",), contents=(known,))
    assert side.cache is not None
    (copy,) = entries(side.cache)
    data = bytearray(copy.read_bytes())
    data[-20] ^= 1
    copy.write_bytes(data)
    np.testing.assert_array_equal(site.read()[:, :, 0], pixels)
    with pytest.raises(ContentChangedError):
        replace(site, contents=("other",)).read()


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_a_damaged_copy_of_outlines_is_fetched_again_too(place: UPath, tmp_path: Path, dtype: str) -> None:
    side = LocalSide(tmp_path / "uploads", ReadCache(tmp_path / "cache", 10**6))
    make_known(place, side)
    labels = np.arange(20, dtype=dtype).reshape(4, 5)
    tifffile.imwrite(tmp_path / "o.tif", labels)
    path = place / "o.tif"
    path.write_bytes((tmp_path / "o.tif").read_bytes())
    known = inspect_label_image(path).fingerprint
    assert side.cache is not None
    (copy,) = entries(side.cache)
    data = bytearray(copy.read_bytes())
    data[-3] ^= 1
    copy.write_bytes(data)
    np.testing.assert_array_equal(read_label_image(path, content=known), labels)
    with pytest.raises(ContentChangedError, match="plate_outlines"):
        read_label_image(path, content="other")


def test_a_refusing_store_is_not_taken_for_a_full_disk(
    bucket: UPath, s3_server: S3Server, tmp_path: Path
) -> None:
    cache = ReadCache(tmp_path / "cache", 1000)
    (bucket / "x").write_bytes(b"content")
    s3_server.fault = lambda *_: "403 AccessDenied"
    with pytest.raises(StoreAccessError, match="refuses access"):
        cache.open(bucket / "x")
    s3_server.fault = None
    assert read(cache, bucket / "x") == b"content"


def test_many_at_once_fetch_an_object_once(bucket: UPath, s3_server: S3Server, tmp_path: Path) -> None:
    path = bucket / "x"
    data = os.urandom(200_000)
    path.write_bytes(data)
    s3_server.requests.clear()
    found: list[bytes | None] = []
    # a cache each, as processes have
    threads = [
        threading.Thread(target=lambda: found.append(read(ReadCache(tmp_path / "cache", 10**6), path)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [data] * 6
    assert s3_server.count("GET", "/x") == 1


def test_the_project_says_where_and_how_much(tmp_path: Path) -> None:
    url = str(store("memory", tmp_path))
    usual = ProjectLayout.of(tmp_path, url)
    path = UPath(usual.store) / "x"
    path.write_bytes(b"content")
    with open_stored(path) as stream:
        assert Path(stream.name).is_relative_to(tmp_path / ".work" / "cache")
    ProjectLayout.of(tmp_path, url, cache=CacheSettings("copies", 1))
    with open_stored(path) as stream:
        assert Path(stream.name).is_relative_to(tmp_path / "copies")
    ProjectLayout.of(tmp_path, url, cache=CacheSettings(gigabytes=0))
    with open_stored(path) as stream:
        assert not hasattr(stream, "name")
        assert stream.read() == b"content"
