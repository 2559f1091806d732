"""One process at a time on a device: leases by file locks, which the kernel frees when a process ends.

The files lie in a folder of the machine, not of the project: projects and users share its devices.
"""

import os
import random
import re
import stat
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import Timeout

from dp_assets.config.errors import DeviceError, NoFileLocksError
from dp_assets.networks.devices import ListedDevice
from dp_assets.storage.file_locks import SystemLock

FOLDER_VARIABLE = "DP_DEVICE_LOCKS"
FOLDER_NAME = "dp-assets-devices"
FOR_EVERYBODY = 0o1777
SECONDS_BETWEEN_TRIES = 1.0
SECONDS_BETWEEN_MESSAGES = 60.0

Lease = tuple[ListedDevice, SystemLock]


def lease_devices(
    devices: Sequence[ListedDevice], count: int, waiting: Callable[[str], None]
) -> tuple[Lease, ...]:
    """Take so many of these devices for this process, and wait for them as long as it takes.

    Parameters
    ----------
    devices : at least `count`, in the order in which they are tried.
    waiting : called with a message at the beginning of the wait and every minute.

    Returns
    -------
    The devices with their locks. A lock that is released, or not kept, gives the device back.

    Raises
    ------
    DeviceError : the folder of the locks cannot be used.
    """
    folder = _lock_folder()
    told: float | None = None
    while True:
        leases: list[Lease] = []
        for device in devices:
            lock = SystemLock(_lock_file(folder, device), timeout=0, mode=0o666, for_any_thread=True)
            try:
                lock.acquire()
            except Timeout:
                continue
            except OSError as error:
                raise _unusable(folder, error.strerror or str(error)) from error
            except NoFileLocksError as error:
                raise _unusable(folder, error.problems[0].what) from error
            leases.append((device, lock))
            if len(leases) == count:
                return tuple(leases)
        # All or nothing: two processes that each keep one of two devices would wait for each other forever.
        release(leases)
        if told is None or time.monotonic() - told >= SECONDS_BETWEEN_MESSAGES:
            told = time.monotonic()
            waiting(_busy_message(folder, devices, count))
        time.sleep(SECONDS_BETWEEN_TRIES * random.uniform(0.5, 1.5))


def release(leases: Sequence[Lease]) -> None:
    """Give devices back that this process does not need."""
    for _, lock in leases:
        lock.release()


def _lock_folder() -> Path:
    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(named or Path(tempfile.gettempdir(), FOLDER_NAME))
    try:
        if not folder.exists():
            folder.mkdir(parents=named is not None, exist_ok=True)
            folder.chmod(FOR_EVERYBODY)
        if not stat.S_ISDIR(folder.lstat().st_mode):
            # Whoever made a link here would decide where this process makes files.
            raise NotADirectoryError(f"{folder} is not a folder")
    except OSError as error:
        raise _unusable(folder, error.strerror or str(error)) from error
    return folder


def _lock_file(folder: Path, device: ListedDevice) -> Path:
    return folder / f"{re.sub('[^0-9A-Za-z-]', '_', device.uuid)}.lock"


def _unusable(folder: Path, why: str) -> DeviceError:
    return DeviceError(
        f"the folder that says which devices are taken cannot be used: {why}",
        where=str(folder),
        remedy=f"let everybody write there, or name another folder of this machine in ${FOLDER_VARIABLE}",
    )


def _busy_message(folder: Path, devices: Sequence[ListedDevice], count: int) -> str:
    holders = _holders([_lock_file(folder, device) for device in devices])
    by = f" by processes {', '.join(map(str, holders))}" if holders else ""
    wanted = "a free device" if count == 1 else f"{count} free devices"
    names = "; ".join(map(str, devices))
    return f"waiting for {wanted}: not enough of these are free, they are taken{by}: {names}"


def _holders(files: Sequence[Path]) -> list[int]:
    """Processes that hold these locks, as the kernel lists them; none where it does not tell."""
    inodes = {str(file.stat().st_ino) for file in files if file.exists()}
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    found = set()
    for line in lines:
        # "1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF"; who waits has "->" in the second place
        fields = line.split()
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] in inodes:
            found.add(int(fields[4]))
    return sorted(found)
