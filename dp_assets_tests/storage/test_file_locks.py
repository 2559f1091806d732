"""Locks are the system's own; where it has none this is said, and no file stands in for one."""

import errno
import fcntl
import logging
import os
from pathlib import Path

import pytest
from dagster import DagsterInstance
from upath import UPath

from dp_assets.config.errors import DeviceError, NoFileLocksError
from dp_assets.networks.device_leases import FOLDER_VARIABLE, lease_devices
from dp_assets.networks.devices import ListedDevice
from dp_assets.orchestration.instance import opened_instance
from dp_assets.orchestration.live_runs import mark_as_live
from dp_assets.storage.file_locks import SystemLock
from dp_assets.storage.read_cache import ReadCache
from dp_assets.storage.work import WorkFolder


@pytest.fixture(params=[errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system whose file systems refuse `flock`."""

    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


pytestmark = pytest.mark.usefixtures("without_locks")


def test_a_lock_is_refused_and_not_left_held(tmp_path: Path) -> None:
    for _ in range(2):
        lock = SystemLock(tmp_path / "a.lock", timeout=0)
        with pytest.raises(NoFileLocksError, match="this file system has no file locks") as caught:
            lock.acquire()
        assert not lock.is_locked
        assert str(tmp_path / "a.lock") in str(caught.value)
        assert "option flock" in str(caught.value)


def test_runs_and_work_folders_say_so(tmp_path: Path) -> None:
    with (
        pytest.raises(NoFileLocksError, match="no file locks"),
        WorkFolder(tmp_path / "plate_images" / "P1").locked(),
    ):
        pytest.fail("the folder was held")
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}")
    with pytest.raises(NoFileLocksError, match="no file locks"), opened_instance(tmp_path):
        pytest.fail("the first use was not guarded")
    with (
        DagsterInstance.from_config(str(tmp_path)) as instance,
        pytest.raises(NoFileLocksError, match="no file locks"),
    ):
        mark_as_live(instance, "run-1")


def test_devices_ask_for_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "locks"))
    with pytest.raises(DeviceError, match="no file locks") as caught:
        lease_devices([ListedDevice(0, "T4", "GPU-0000")], 1, lambda _: None)
    assert f"${FOLDER_VARIABLE}" in str(caught.value)


def test_reading_goes_on_without_a_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = UPath("memory://without-locks/x")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"content")
    cache = ReadCache(tmp_path / "cache", 1000)
    with caplog.at_level(logging.WARNING):
        assert cache.open(path) is None
        assert cache.open(path) is None
    assert [record.message.count("has no file locks") for record in caplog.records] == [1]
