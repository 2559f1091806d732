"""Choosing graphics processors: the driver's listing, the setting, and what a scheduler has given."""

import subprocess

import pytest

from dp_assets.config.errors import DeviceError
from dp_assets.networks import devices
from dp_assets.networks.devices import ListedDevice, choose_devices, parse_listing

LISTING = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 1g.5gb      Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 2g.10gb     Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
GPU 1: Tesla T4 (UUID: GPU-0e2c1b3a-1111-2222-3333-444455556666)
"""
LISTED = parse_listing(LISTING)


def test_the_listing_of_the_driver_is_understood() -> None:
    assert parse_listing(LISTING) == (
        ListedDevice(0, "NVIDIA A100-SXM4-40GB", "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77"),
        ListedDevice(None, "1g.5gb", "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"),
        ListedDevice(None, "2g.10gb", "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb"),
        ListedDevice(1, "Tesla T4", "GPU-0e2c1b3a-1111-2222-3333-444455556666"),
    )
    assert parse_listing("No devices were found\n") == ()


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("auto", None),
        ("cpu", ()),
        ("1", ("1",)),
        ("0, 1", ("0", "1")),
        ("GPU-0e2c1b3a", ("GPU-0e2c1b3a",)),
        ("MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", ("MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f",)),
    ],
)
def test_settings_and_what_they_mean(wanted: str, chosen: tuple[str, ...] | None) -> None:
    assert choose_devices(wanted, LISTED, None) == chosen
    assert choose_devices(wanted, (), None) == chosen  # without a listing there is nothing to check against


@pytest.mark.parametrize("wanted", ["2", "0,7", "GPU-ffff", "MIG-0000"])
def test_a_device_that_does_not_exist_is_refused_with_those_that_do(wanted: str) -> None:
    with pytest.raises(DeviceError, match="there is no device") as caught:
        choose_devices(wanted, LISTED, None)
    assert "Tesla T4" in str(caught.value)
    assert "MIG-c6d4f1ef" in str(caught.value)


@pytest.mark.parametrize("wanted", ["gpu", "cuda:0", "-1", "", "0,,1"])
def test_a_setting_that_is_no_device_is_refused(wanted: str) -> None:
    with pytest.raises(DeviceError, match="is no device"):
        choose_devices(wanted, (), None)


@pytest.mark.parametrize(
    ("wanted", "allotted", "allowed"),
    [
        ("1", "1", True),
        ("0", "0,1", True),
        ("1", "GPU-0e2c1b3a-1111-2222-3333-444455556666", True),
        ("GPU-0e2c1b3a", "1", True),
        ("0", "1", False),
        ("0", "-1", False),
        ("0", "", False),
        ("auto", "", True),
        ("cpu", "1", True),
    ],
)
def test_a_device_that_a_scheduler_gave_to_others_is_refused(
    wanted: str, allotted: str, allowed: bool
) -> None:
    if allowed:
        choose_devices(wanted, LISTED, allotted)
    else:
        with pytest.raises(DeviceError, match="not among those given"):
            choose_devices(wanted, LISTED, allotted)


@pytest.mark.parametrize("devices_listed", [0, 1])
def test_a_driver_that_fails_lists_what_it_can_and_says_so(
    monkeypatch: pytest.MonkeyPatch, devices_listed: int
) -> None:
    """One device of several may be lost; the others can be used."""
    listed = LISTING.splitlines()[-1:] * devices_listed
    answer = subprocess.CompletedProcess([], 15, "\n".join([*listed, "Unable to determine the device"]), "")
    monkeypatch.setattr(devices.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(devices.subprocess, "run", lambda *_, **__: answer)
    listing = devices.list_devices()
    assert listing.devices == LISTED[-1:] * devices_listed
    assert listing.problem is not None
    assert "exit code 15" in listing.problem.what
    assert ("there may be others" in listing.problem.what) == bool(devices_listed)
    assert ("compute on the CPU" in listing.problem.remedy) == (not devices_listed)


def test_a_driver_that_cannot_be_started_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(8, "Exec format error")

    monkeypatch.setattr(devices.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(devices.subprocess, "run", fail)
    listing = devices.list_devices()
    assert listing.devices == ()
    assert listing.problem is not None
    assert "cannot be started (Exec format error)" in listing.problem.what
