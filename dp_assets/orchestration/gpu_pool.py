"""The pool `gpu`: as many places as there are devices, unless somebody chose otherwise.

The limit belongs to the instance. While `dp-assets ui` serves it, that process has the say: the runs it
launches see the devices that it sees. Otherwise every command sets it to the devices of the machine, whatever
its own shell hides, so that commands in several shells agree.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dagster import DagsterInstance
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from filelock import Timeout

from dp_assets.networks.accelerator import VISIBLE_DEVICES
from dp_assets.networks.devices import computing_devices, list_devices
from dp_assets.storage.file_locks import SystemLock

logger = logging.getLogger(__name__)

POOL = "gpu"
PLACES_GIVEN = "dp/places_in_pool_gpu"
LOCK = ".places_in_pool_gpu.lock"
# A command that sets the limit at this moment is all that can be in the way of the services.
LOCK_TIMEOUT_SECONDS = 10.0

# Kept as long as the process lives: a lock that nobody holds is released.
_serving: dict[str, SystemLock] = {}


def give_each_device_a_place(instance: DagsterInstance, *, serving: bool = False) -> int | None:
    """Set the limit of the pool to the number of devices; a driver that fails is named in the log.

    Nothing is changed where no device is listed, where runs are started on other machines (these count their
    devices themselves), where the limit is not the one that was set here before, and while another process
    serves the instance.

    Parameters
    ----------
    serving : this process launches the runs of the instance, from now on until it ends. Then devices that its
        `CUDA_VISIBLE_DEVICES` hides do not count.

    Returns
    -------
    The limit that was set; None when it was left as it is.
    """
    listing = list_devices()
    if listing.problem is not None:
        logger.warning("%s", listing.problem)
    storage = instance.event_log_storage
    if not isinstance(instance.run_launcher, DefaultRunLauncher):
        return None
    if not storage.supports_global_concurrency_limits:
        return None
    devices = computing_devices(listing.devices, os.environ.get(VISIBLE_DEVICES) if serving else None)
    with _having_the_say(Path(instance.root_directory), serving=serving) as may_set:
        if not may_set or not devices:
            return None
        limits = {pool.name: pool.limit for pool in storage.get_pool_limits() if not pool.from_default}
        given = instance.run_storage.get_cursor_values({PLACES_GIVEN}).get(PLACES_GIVEN)
        if POOL in limits and (given != str(limits[POOL]) or limits[POOL] == len(devices)):
            return None
        storage.set_concurrency_slots(POOL, len(devices))
        instance.run_storage.set_cursor_values({PLACES_GIVEN: str(len(devices))})
        return len(devices)


@contextmanager
def _having_the_say(home: Path, *, serving: bool) -> Iterator[bool]:
    """Whether this process may set the limit; who serves keeps the right until it ends."""
    if serving and str(home) in _serving:
        yield True
        return
    lock = SystemLock(home / LOCK, for_any_thread=True)
    try:
        lock.acquire(timeout=LOCK_TIMEOUT_SECONDS if serving else 0)
    except Timeout:
        yield False
        return
    if serving:
        _serving[str(home)] = lock
    try:
        yield True
    finally:
        if not serving:
            lock.release()
