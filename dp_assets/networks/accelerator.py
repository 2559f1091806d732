"""Setting up TensorFlow or JAX for a process, once, before it is imported. Importing this imports neither."""

import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from dp_assets.config.errors import DeviceError
from dp_assets.networks.device_claims import Claim, claim_devices, too_few
from dp_assets.networks.device_leases import Lease, release
from dp_assets.networks.devices import DeviceListing, ListedDevice, choose_devices, list_devices
from dp_assets.networks.native_log import native_log

logger = logging.getLogger(__name__)

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
NO_DEVICE = "-1"
BACKENDS = ("tensorflow", "jax")


@dataclass(frozen=True)
class AcceleratorSettings:
    """What a process computes on, and how.

    Attributes
    ----------
    devices : "auto" (of all that are there, else the CPU), "cpu", or graphics processors by number ("0,1") or
        identifier ("GPU-...", "MIG-...") as `nvidia-smi -L` lists them. `count` of these are
        taken that no other process has, until this one ends; it waits for them.
    count : how many devices are needed; the CPU can stand in for any number.
    shared : do not wait: compute on the first of the devices, whoever else does.
    memory_growth : take memory as it is needed, so that several processes can share a device.
    precision : dtype policy for networks; the caller gives it to them, there is no global one.
    xla : compile networks with XLA; the caller gives it to them.
    deterministic : only algorithms that give the same numbers every time (slower).
    """

    devices: str = "auto"
    count: int = 1
    shared: bool = False
    memory_growth: bool = True
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    xla: bool = False
    deterministic: bool = False

    @property
    def process_wide(self) -> tuple[str, bool, bool, bool]:
        """The part that cannot change any more once the framework runs; `count` cannot grow, either."""
        return self.devices, self.shared, self.memory_growth, self.deterministic


@dataclass(frozen=True)
class AcceleratorReport:
    """What a process computes on: names of `devices`, ("CPU",) without an accelerator, and a `message`."""

    devices: tuple[str, ...]
    message: str


_lock = threading.Lock()
_configured: tuple[AcceleratorSettings, AcceleratorReport] | None = None
# Kept as long as the process lives: a lock that nobody holds is released.
_leases: list[Lease] = []


def configure_accelerator(
    settings: AcceleratorSettings, warn: Callable[[str], None] = logger.warning
) -> AcceleratorReport:
    """Choose the devices of this process and import the framework of Keras (environment `KERAS_BACKEND`).

    Call before anything imports Keras. Further calls with the same process-wide settings (devices, memory
    growth, determinism) return the first report; precision and XLA may differ, they belong to the network,
    and fewer devices may be needed.

    Parameters
    ----------
    warn : told while other processes have the devices, and when it cannot be found out which there are.

    Raises
    ------
    DeviceError : a device does not exist or cannot be used, the process was set up otherwise before, or the
        framework runs already on other devices.
    """
    global _configured
    with _lock:
        if _configured is None:
            _configured = settings, _configure(settings, warn)
        first, report = _configured
        if first.process_wide != settings.process_wide:
            raise DeviceError(
                f"this process was set up with {first} before; now {settings} is asked for",
                where="accelerator settings",
                remedy="use the same settings everywhere, or run this in a process of its own",
            )
        if settings.count > first.count:
            raise DeviceError(
                f"this process was set up with {first.count} devices; now {settings.count} are asked for",
                where="train.model.devices",
                remedy="run this training in a process of its own, or before what needs fewer devices",
            )
        return report


def _configure(settings: AcceleratorSettings, warn: Callable[[str], None]) -> AcceleratorReport:
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend not in BACKENDS:
        raise DeviceError(
            f"KERAS_BACKEND is {backend!r}",
            where="environment",
            remedy=f"use one of: {', '.join(BACKENDS)}; or remove the variable",
        )
    listing = list_devices()
    if listing.problem is not None and settings.devices != "cpu":
        warn(str(listing.problem))
    listed = listing.devices
    claim = _claim(settings, backend, listed, warn)
    wanted = claim.visible
    set_up = _set_up_tensorflow if backend == "tensorflow" else _set_up_jax
    _show_only(wanted, backend)
    found = set_up(settings, wanted)
    # "auto" is content with the CPU where the framework knows no device at all
    if len(found) < len(wanted or ()) and (found or settings.devices != "auto"):
        raise _unusable(settings.devices, backend, found, listed)
    if not found:
        release(claim.leases)
        return AcceleratorReport(("CPU",), _cpu_message(settings, backend, listing))
    if len(found) < settings.count:
        raise too_few(settings.devices, settings.count, found)
    _leases.extend(claim.leases)
    # The framework counts what it may see; people, and other processes, know devices by the driver's names.
    devices = tuple(str(device) for device, _ in claim.leases) or found
    message = f"{backend} computes on {', '.join(devices)}"
    if listing.problem is not None and not claim.leases:
        message += f"; other processes are not kept off: {listing.problem.what}"
    return AcceleratorReport(devices, message)


def _claim(
    settings: AcceleratorSettings,
    backend: str,
    listed: Sequence[ListedDevice],
    warn: Callable[[str], None],
) -> Claim:
    allotted = os.environ.get(VISIBLE_DEVICES)
    names = choose_devices(settings.devices, listed, allotted)
    if names is None and backend in sys.modules:
        # It may have its devices already, so none can be chosen for it.
        return Claim(None, ())
    return claim_devices(
        settings.devices,
        names,
        listed,
        allotted,
        count=settings.count,
        shared=settings.shared,
        waiting=warn,
    )


def _show_only(wanted: Sequence[str] | None, backend: str) -> None:
    """Hide all other devices; only the environment does it completely, before the framework starts."""
    if wanted is None:
        return
    visible = ",".join(wanted) or NO_DEVICE
    if wanted and backend in sys.modules and os.environ.get(VISIBLE_DEVICES) != visible:
        raise DeviceError(
            f"{backend} was imported before the device {visible} was asked for",
            where="accelerator settings",
            remedy=f"configure the accelerator first, or start the process with {VISIBLE_DEVICES}={visible}",
        )
    # Numbers are those of nvidia-smi; CUDA's own order is by speed.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ[VISIBLE_DEVICES] = visible


def _set_up_tensorflow(settings: AcceleratorSettings, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Import and configure TensorFlow; the names of the graphics processors it will use."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    with native_log():
        import tensorflow as tf

    try:
        with native_log():
            if wanted is not None and not wanted:
                tf.config.set_visible_devices([], "GPU")
            devices = tf.config.get_visible_devices("GPU")
            if not devices and settings.count > 1:
                part = tf.config.LogicalDeviceConfiguration()
                cpu = tf.config.get_visible_devices("CPU")[0]
                tf.config.set_logical_device_configuration(cpu, [part] * settings.count)
        for device in devices:
            tf.config.experimental.set_memory_growth(device, settings.memory_growth)
    except RuntimeError as error:
        raise DeviceError(
            f"TensorFlow runs already, with other devices or memory settings: {error}",
            where="accelerator settings",
            remedy="configure the accelerator before anything is computed, or use a process of its own",
        ) from error
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    names = [tf.config.experimental.get_device_details(device).get("device_name") for device in devices]
    return tuple(f"GPU {number} ({name})" if name else f"GPU {number}" for number, name in enumerate(names))


def _set_up_jax(settings: AcceleratorSettings, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Import and configure JAX; the names of the accelerators it will use."""
    if wanted is not None and not wanted:
        os.environ["JAX_PLATFORMS"] = "cpu"
    if settings.memory_growth:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    flags = os.environ.get("XLA_FLAGS", "").split()
    if settings.deterministic:
        flags.append("--xla_gpu_deterministic_ops=true")
    if settings.count > 1:
        flags.append(f"--xla_force_host_platform_device_count={settings.count}")
    if flags:
        os.environ["XLA_FLAGS"] = " ".join(flags)
    jax = importlib.import_module("jax")
    accelerators = [device for device in jax.devices() if device.platform != "cpu"]
    if accelerators and wanted is not None and not wanted:
        raise DeviceError(
            "JAX runs already, on an accelerator",
            where="accelerator settings",
            remedy="configure the accelerator before anything is computed, or use a process of its own",
        )
    return tuple(f"{device.platform.upper()} {device.id} ({device.device_kind})" for device in accelerators)


def _unusable(
    devices: str, backend: str, found: Sequence[str], listed: Sequence[ListedDevice]
) -> DeviceError:
    there = "; ".join(map(str, listed)) or ", ".join(found) or "none"
    return DeviceError(
        f"{backend} can use {len(found)} of the devices {devices!r} (there are: {there})",
        where=f"devices: {devices!r}",
        remedy=f'use devices that exist, install {backend} with CUDA support, or use "auto" or "cpu"',
    )


def _cpu_message(settings: AcceleratorSettings, backend: str, listing: DeviceListing) -> str:
    instead = f"{backend} computes on the CPU"
    if settings.count > 1:
        instead += f", which stands in for {settings.count} devices"
    if settings.devices == "cpu":
        return f"{instead}, as asked for"
    if listing.devices:
        there = "; ".join(map(str, listing.devices))
        return f"{instead}: it cannot use {there} (hidden, or installed without CUDA)"
    if listing.problem is not None:
        return f"{instead}: {listing.problem.what}"
    return f"{instead}: no graphics processor was found"
