"""Leases of devices: who has one, who waits, and what a killed process leaves."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dp_assets.config.errors import DeviceError
from dp_assets.networks import device_leases
from dp_assets.networks.device_claims import Claim, claim_devices
from dp_assets.networks.device_leases import lease_devices, release
from dp_assets.networks.devices import ListedDevice, choose_devices

FIRST, SECOND = ListedDevice(0, "T4", "GPU-aaaa"), ListedDevice(1, "T4", "GPU-bbbb")
HOLDER = """
import sys
from dp_assets.networks.device_leases import lease_devices
from dp_assets.networks.devices import ListedDevice
devices = [ListedDevice(0, "T4", "GPU-aaaa"), ListedDevice(1, "T4", "GPU-bbbb")]
leases = lease_devices(devices, int(sys.argv[1]), print)
print(*(device.uuid for device, _ in leases), flush=True)
sys.stdin.read()
"""
Hold = Callable[[int], "tuple[subprocess.Popen[str], str]"]


class ImpatientError(Exception):
    """Ends a wait."""


def stop(message: str) -> None:
    """Does not wait."""
    raise ImpatientError(message)


def claim(wanted: str, *, count: int = 1, shared: bool = False, allotted: str | None = None) -> Claim:
    """Claim of the two devices, that does not wait."""
    listed = (FIRST, SECOND)
    names = choose_devices(wanted, listed, allotted)
    return claim_devices(wanted, names, listed, allotted, count=count, shared=shared, waiting=stop)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of locks of its own."""
    monkeypatch.setenv("DP_DEVICE_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr(device_leases, "SECONDS_BETWEEN_TRIES", 0.05)
    return tmp_path / "locks"


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Starts processes that hold so many devices; says which."""
    started = []

    def start(count: int) -> tuple["subprocess.Popen[str]", str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_each_process_gets_its_own_device_and_a_killed_one_frees_it(hold: Hold) -> None:
    holder, its = hold(1)
    assert its == "GPU-aaaa"
    mine = claim("auto")
    assert mine.visible == ("GPU-bbbb",)
    with pytest.raises(ImpatientError, match=r"waiting for a free device: .*GPU-aaaa.*GPU-bbbb") as waited:
        claim("auto")
    if Path("/proc/locks").exists():
        assert str(holder.pid) in str(waited.value)
        assert str(os.getpid()) in str(waited.value)

    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert claim("auto").visible == ("GPU-aaaa",)
    release(mine.leases)


def test_a_wait_ends_when_the_holder_ends(hold: Hold) -> None:
    holder, its = hold(2)
    assert its == "GPU-aaaa GPU-bbbb"
    told: list[str] = []

    def waiting(message: str) -> None:
        told.append(message)
        threading.Timer(0.2, holder.kill).start()

    leases = lease_devices([FIRST, SECOND], 2, waiting)
    assert [device for device, _ in leases] == [FIRST, SECOND]
    assert len(told) == 1
    assert told[0].startswith("waiting for 2 free devices")


def test_several_devices_are_taken_all_or_none(hold: Hold) -> None:
    hold(1)
    with pytest.raises(ImpatientError):
        claim("auto", count=2)
    assert claim("1").visible == ("1",)  # the second was not kept


def test_named_devices_are_candidates_and_sharing_does_not_wait(hold: Hold) -> None:
    hold(1)
    assert claim("0", shared=True) == Claim(("0",), ())
    assert claim("auto", shared=True, count=2) == Claim(("GPU-aaaa", "GPU-bbbb"), ())
    mine = claim("0,1")
    assert mine.visible == ("1",)
    with pytest.raises(ImpatientError, match="GPU-aaaa"):
        claim("0")


def test_only_allotted_devices_are_taken_and_the_cpu_needs_no_lease(folder: Path) -> None:
    assert claim("auto", allotted="1").visible == ("GPU-bbbb",)
    assert claim("cpu", count=8) == Claim((), ())
    assert claim("auto", allotted="") == Claim(None, ())
    assert [path.name for path in folder.iterdir()] == ["GPU-bbbb.lock"]


@pytest.mark.parametrize("wanted", ["auto", "0,1"])
def test_more_devices_than_there_are_is_an_error_with_a_remedy(wanted: str) -> None:
    with pytest.raises(DeviceError, match=r"(?s)3 devices are asked for; there are 2: 0: T4 .*ask for fewer"):
        claim(wanted, count=3)


def test_a_folder_that_cannot_be_used_is_named(folder: Path) -> None:
    folder.write_text("no folder")
    with pytest.raises(DeviceError, match=r"(?s)locks: the folder that says .*\$DP_DEVICE_LOCKS"):
        claim("auto")


def test_a_link_in_place_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeviceError, match="is not a folder"):
        claim("auto")
