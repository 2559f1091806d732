"""The pool `gpu`: as many places as this machine has devices, unless somebody chose otherwise."""

import os

from dagster import DagsterInstance
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

from dp_assets.networks.accelerator import VISIBLE_DEVICES
from dp_assets.networks.devices import computing_devices, list_devices

POOL = "gpu"
PLACES_GIVEN = "dp/places_in_pool_gpu"


def give_each_device_a_place(instance: DagsterInstance) -> int | None:
    """Set the limit of the pool to the number of devices.

    Nothing is changed where no device is listed, where runs are started on other machines (these count their
    devices themselves), and where the limit is not the one that was set here before.

    Returns
    -------
    The limit that was set; None when it was left as it is.
    """
    devices = computing_devices(list_devices(), os.environ.get(VISIBLE_DEVICES))
    storage = instance.event_log_storage
    if not devices or not isinstance(instance.run_launcher, DefaultRunLauncher):
        return None
    if not storage.supports_global_concurrency_limits:
        return None
    limits = {pool.name: pool.limit for pool in storage.get_pool_limits() if not pool.from_default}
    given = instance.run_storage.get_cursor_values({PLACES_GIVEN}).get(PLACES_GIVEN)
    if POOL in limits and (given != str(limits[POOL]) or limits[POOL] == len(devices)):
        return None
    storage.set_concurrency_slots(POOL, len(devices))
    instance.run_storage.set_cursor_values({PLACES_GIVEN: str(len(devices))})
    return len(devices)
