"""Publishing on S3: whole or not at all, whatever the server, the network or the process does meanwhile."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import boto3
import pyarrow as pa
import pytest
from upath import UPath

from dp_assets.config.errors import ConfigurationError, StoreAccessError, StoreUnreachableError
from dp_assets.storage import s3, versions
from dp_assets.storage.atomic import atomic_file, write_bytes
from dp_assets.storage.folders import FolderWriter, open_folder, publish_folder, tidy_folder
from dp_assets.storage.held_names import held_sibling
from dp_assets.storage.places import place_at
from dp_assets.storage.published import published_fingerprint, write_arrays
from dp_assets.storage.remote import LocalSide, make_known
from dp_assets.storage.tables import read_table
from dp_assets_tests.s3_server import S3Server
from dp_assets_tests.storage.test_folders import assert_holds, writer

PART = 5 * 2**20
PUBLISH = """
import sys
from dp_assets.storage.places import place_at
from dp_assets.storage.folders import publish_folder
from dp_assets_tests.storage.test_folders import writer
publish_folder(place_at(sys.argv[1]), writer(sys.argv[2]))
"""


def keys(place: UPath) -> list[str]:
    """Every object of the bucket, as the server has it."""
    listed = boto3.client("s3").list_objects_v2(Bucket=place.path.split("/")[0])
    return [found["Key"] for found in listed.get("Contents", [])]


def unfinished(place: UPath) -> list[str]:
    listed = boto3.client("s3").list_multipart_uploads(Bucket=place.path.split("/")[0])
    return [found["Key"] for found in listed.get("Uploads", [])]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "BLOCK", PART)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("size", [0, 10, 2 * PART + 17])
def test_an_object_appears_when_it_is_complete(bucket: UPath, s3_server: S3Server, size: int) -> None:
    path, data = bucket / "deep" / "x.bin", os.urandom(size)
    with atomic_file(path) as stream:
        for start in range(0, size, 2**20):
            stream.write(data[start : start + 2**20])
        assert keys(bucket) == []
    assert keys(bucket) == ["deep/x.bin"]
    stored = boto3.client("s3").get_object(Bucket=bucket.path.strip("/"), Key="deep/x.bin")
    assert stored["Body"].read() == data
    assert s3_server.count("DELETE") == 0, "nothing was moved"
    assert unfinished(bucket) == []


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("size", [10, 2 * PART + 17])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_what_was_there(
    bucket: UPath, size: int, error: type[BaseException]
) -> None:
    path = bucket / "x.bin"
    write_bytes(path, b"former")

    def fails() -> None:
        with atomic_file(path) as stream:
            stream.write(bytes(size))
            raise error

    with pytest.raises(error):
        fails()
    assert path.read_bytes() == b"former"
    assert keys(bucket) == ["x.bin"]
    assert unfinished(bucket) == []


def write_in_pieces(path: UPath) -> None:
    with atomic_file(path) as stream:
        for _ in range(11):
            stream.write(bytes(2**20))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("fails", [1, 2, 3])
def test_a_part_that_is_refused_ends_the_upload(bucket: UPath, s3_server: S3Server, fails: int) -> None:
    path = bucket / "x.bin"
    write_bytes(path, b"former")
    seen = []

    def fault(method: str, _: str) -> str | None:
        seen.extend([method] if method == "PUT" else [])
        return "403 AccessDenied" if method == "PUT" and len(seen) == fails else None

    s3_server.fault = fault
    with pytest.raises(StoreAccessError, match="refuses access"):
        write_in_pieces(path)
    s3_server.fault = None
    assert path.read_bytes() == b"former"
    assert unfinished(bucket) == []


def test_folders_are_published_and_replaced(bucket: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bucket / "asset" / "P1"
    with pytest.raises(FileNotFoundError, match="never published"):
        open_folder(path)
    publish_folder(path, writer("one"))
    assert_holds(path, "one")
    reader = open_folder(path)
    publish_folder(path, writer("two"))
    publish_folder(path, writer("three"))
    assert_holds(path, "three")
    assert (reader.path / "a.txt").read_text() == "one", "whoever reads a former version goes on"
    assert reader.size() == 3 + 9
    monkeypatch.setattr(versions, "KEPT_SECONDS", -1)
    tidy_folder(path)
    assert_holds(path, "three")
    assert len(keys(bucket)) == 3


def test_what_another_process_published_is_seen_at_once(bucket: UPath) -> None:
    path = bucket / "asset" / "P1"
    assert not path.exists()
    assert list(bucket.iterdir()) == []
    published_elsewhere(path, "one")
    assert_holds(path, "one")
    assert [found.name for found in bucket.iterdir()] == ["asset"]
    assert len([file for file in path.rglob("*") if file.is_file()]) == 3
    published_elsewhere(path, "two")
    assert_holds(path, "two")
    assert len(list((path / "versions").iterdir())) == 2


def published_elsewhere(path: UPath, content: str) -> None:
    subprocess.run([sys.executable, "-c", PUBLISH, str(path), content], check=True, timeout=120)


@pytest.mark.parametrize(
    ("fails", "how"),
    [
        (1, "cut"),
        (2, "cut"),
        (3, "cut"),
        (2, "503 SlowDown"),
        (3, "500 InternalError"),
        (3, "403 AccessDenied"),
    ],
)
def test_a_failing_upload_leaves_the_former_folder(
    bucket: UPath, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, fails: int, how: str
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3.S3Store, "retries", 1)
    path = bucket / "asset" / "P1"
    publish_folder(path, writer("one"))
    before, written = keys(bucket), []

    def fault(method: str, path: str) -> str | None:
        if method == "PUT" and path not in written:
            written.append(path)
        return how if method == "PUT" and len(written) >= fails else None

    s3_server.fault = fault
    expected = StoreAccessError if how.startswith("403") else StoreUnreachableError
    with pytest.raises(expected) as caught:
        publish_folder(path, writer("two"))
    s3_server.fault = None
    problem = caught.value.problems[0]
    assert problem.where.startswith(str(bucket))
    assert problem.remedy
    assert caught.value.transient == (expected is StoreUnreachableError)
    assert_holds(path, "one")
    assert keys(bucket) == before
    publish_folder(path, writer("two"))
    assert_holds(path, "two")


def test_a_process_killed_while_it_uploads_leaves_nothing_visible(
    bucket: UPath, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bucket / "asset" / "P1"
    publish_folder(path, writer("one"))
    begun = threading.Event()

    def fault(method: str, path: str) -> str | None:
        if method == "PUT" and path.endswith("MANIFEST.json"):
            begun.set()
            os.kill(process.pid, signal.SIGKILL)
            return "cut"
        return None

    s3_server.fault = fault
    process = subprocess.Popen([sys.executable, "-c", PUBLISH, str(path), "two"])
    assert process.wait(timeout=120) == -signal.SIGKILL
    assert begun.is_set()
    s3_server.fault = None
    assert_holds(path, "one")
    assert len(keys(bucket)) == 3 + 2, "the files of the killed process are there, and nobody sees them"
    publish_folder(path, writer("three"))
    assert_holds(path, "three")
    assert len(keys(bucket)) == 3 + 2 + 2, "they might be somebody's who is still at it"
    monkeypatch.setattr(versions, "KEPT_SECONDS", -1)
    publish_folder(path, writer("four"))
    assert_holds(path, "four")
    assert len(keys(bucket)) == 3


def test_what_a_killed_process_wanted_to_upload_is_removed_by_the_next(bucket: UPath, tmp_path: Path) -> None:
    path, uploads = bucket / "asset" / "P1", tmp_path / "uploads"
    make_known(path, LocalSide(uploads, None))
    usual = writer("one")
    seen = []

    def fill(folder: Path) -> None:
        seen.append(folder)
        usual.fill(folder)

    publish_folder(path, FolderWriter(usual.fingerprint, usual.facts, fill))
    assert seen[0].parent == uploads
    assert list(uploads.iterdir()) == []
    seen[0].mkdir()
    (seen[0] / "left").write_bytes(b"by a killed process")
    with held_sibling(seen[0].with_name(seen[0].name[1:-37]), Path.mkdir) as at_work:
        publish_folder(path, writer("two"))
        assert list(uploads.iterdir()) == [at_work], "that of a living process stays"
    assert_holds(path, "two")


def test_of_two_writers_at_once_one_wins_whole(bucket: UPath) -> None:
    path = bucket / "asset" / "P1"
    both = threading.Barrier(2, timeout=60)

    def waiting(content: str) -> FolderWriter:
        usual = writer(content)

        def fill(folder: Path) -> None:
            usual.fill(folder)
            both.wait()

        return FolderWriter(usual.fingerprint, usual.facts, fill)

    threads = [
        threading.Thread(target=publish_folder, args=(path, waiting(content))) for content in ("one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert_holds(path, open_folder(path).manifest["what"])


def test_unfinished_uploads_of_killed_processes_are_given_up(
    bucket: UPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, client = bucket / "asset" / "P1", boto3.client("s3")
    for key in ("asset/P1/versions/x/crops.bin", "asset/P2/versions/x/crops.bin"):
        client.create_multipart_upload(Bucket=bucket.path.strip("/"), Key=key)
    # moto says of every upload that it began in 2010
    monkeypatch.setattr(versions, "KEPT_SECONDS", 10**10)
    publish_folder(path, writer("one"))
    assert len(unfinished(bucket)) == 2, "they may be somebody's who is still at it"
    monkeypatch.setattr(versions, "KEPT_SECONDS", -1)
    publish_folder(path, writer("two"))
    assert unfinished(bucket) == ["asset/P2/versions/x/crops.bin"]


def publish(place: UPath) -> None:
    publish_folder(place / "P1", writer("one"))


ATTEMPTS: dict[str, Callable[[UPath], object]] = {
    "write": lambda place: write_bytes(place / "x.bin", b"data"),
    "publish": publish,
    "open": lambda place: open_folder(place / "P1"),
    "table": lambda place: read_table(place / "x.parquet"),
    "fingerprint of a table": lambda place: published_fingerprint(place / "x.parquet"),
    "fingerprint of arrays": lambda place: published_fingerprint(place / "x.npz"),
    "fingerprint of a folder": lambda place: published_fingerprint(place / "P1"),
    "exists": lambda place: (place / "x").exists(),
    "list": lambda place: list(place.iterdir()),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_bucket_that_is_not_there_is_named_and_not_made(bucket: UPath, attempt: str) -> None:
    place = place_at(f"s3://mistyped-{bucket.path.strip('/')}") / "project"
    with pytest.raises(StoreAccessError, match=r"s3://mistyped-.*: the bucket does not exist"):
        ATTEMPTS[attempt](place)
    made = [found["Name"] for found in boto3.client("s3").list_buckets()["Buckets"]]
    assert not [name for name in made if name.startswith("mistyped")]


@pytest.mark.parametrize(
    ("attempt", "how", "message"),
    [
        *((attempt, "403 AccessDenied", "the store refuses access") for attempt in ATTEMPTS),
        ("open", "403 InvalidAccessKeyId", "the store refuses access"),
        ("table", "403 SignatureDoesNotMatch", "the store refuses access"),
        ("write", "400 ExpiredToken", "the store refuses access"),
        ("fingerprint of a table", "503 SlowDown", "the store does not answer"),
        ("fingerprint of a folder", "cut", "the store does not answer"),
        ("exists", "cut", "the store does not answer"),
        ("write", "cut", "the store does not answer"),
    ],
)
def test_what_the_store_refuses_is_said(
    bucket: UPath, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, attempt: str, how: str, message: str
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3.S3Store, "retries", 1)
    s3_server.fault = lambda *_: how
    with pytest.raises(StoreAccessError, match=message) as caught:
        ATTEMPTS[attempt](bucket / "project")
    text = str(caught.value)
    assert "s3://" in text
    assert "secret-of-the-test" not in text
    assert "AWS_" in caught.value.problems[0].remedy


def test_throttling_is_waited_for(bucket: UPath, s3_server: S3Server) -> None:
    turned_away = []

    def fault(method: str, path: str) -> str | None:
        turned_away.append(path)
        return "503 SlowDown" if len(turned_away) <= 2 else None

    s3_server.fault = fault
    write_bytes(bucket / "x.bin", b"data")
    assert len(turned_away) == 3
    assert (bucket / "x.bin").read_bytes() == b"data"


def test_nobody_at_the_address(bucket: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3.S3Store.clear_instance_cache()
    with pytest.raises(StoreUnreachableError, match=r"does not answer .*127\.0\.0\.1:9"):
        open_folder(place_at(str(bucket / "P1")))


def test_no_credentials(bucket: UPath, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    s3.S3Store.clear_instance_cache()
    with pytest.raises(StoreAccessError, match="no usable credentials") as caught:
        write_bytes(place_at(str(bucket / "x")), b"data")
    assert not caught.value.transient


def test_a_url_with_credentials_is_refused_without_showing_them() -> None:
    with pytest.raises(ConfigurationError, match="holds credentials") as caught:
        place_at("s3://AKIA:verysecret@bucket/project")
    assert "verysecret" not in str(caught.value)
    assert "s3://bucket/project" in str(caught.value)


def test_a_store_that_does_not_answer_is_not_an_empty_one(bucket: UPath, s3_server: S3Server) -> None:
    path = bucket / "a.npz"
    write_arrays(path, {"x": pa.array([1]).to_numpy()}, "made of one")
    assert published_fingerprint(path) == "made of one"
    s3_server.fault = lambda *_: "403 AccessDenied"
    with pytest.raises(StoreAccessError):
        published_fingerprint(path)


STREAM = """
import os, resource, sys
import numpy as np, pyarrow as pa
from pathlib import Path
from upath import UPath
from dp_assets.storage.folders import FolderWriter, open_folder, publish_folder
from dp_assets.storage.layout import CacheSettings, ProjectLayout
from dp_assets.storage.schemas import TableSchema
from dp_assets.storage.tables import StoredTable, TableStream, write_table
place, groups, root = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
store = UPath(ProjectLayout.of(root, place, cache=CacheSettings(gigabytes=float(sys.argv[4]))).store)
part = lambda: pa.table({"x": np.frombuffer(os.urandom(8 * 2**20))})
stream = TableStream(part().schema, lambda: (part() for _ in range(groups)))
assert write_table(store / "x.parquet", stream, TableSchema("x", {}, extra="any")) == groups * 2**20
assert sum(len(table) for table in StoredTable(store / "x.parquet").row_groups()) == groups * 2**20
def fill(folder):
    with (folder / "crops.bin").open("wb") as sink:
        for _ in range(groups):
            sink.write(os.urandom(8 * 2**20))
publish_folder(store / "P1", FolderWriter("x", {}, fill))
assert open_folder(store / "P1").size() == groups * 8 * 2**20
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("cache_gigabytes", [0, 1])
def test_memory_does_not_grow_with_what_is_stored(
    bucket: UPath, tmp_path: Path, cache_gigabytes: float
) -> None:
    def peak(groups: int) -> int:
        arguments = [str(bucket / "project"), str(groups), str(tmp_path), str(cache_gigabytes)]
        done = subprocess.run(
            [sys.executable, "-c", STREAM, *arguments],
            check=True,
            timeout=600,
            capture_output=True,
            text=True,
        )
        return int(done.stdout)

    # 320 MB are five uploads' worth of parts; 720 MB would show anything that grows
    assert peak(90) - peak(40) < 100
