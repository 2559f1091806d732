"""Setting up TensorFlow or JAX for a process, once, before it is imported. Importing this imports neither."""

import importlib
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dp_assets.config.errors import DeviceError
from dp_assets.networks.devices import ListedDevice, choose_devices, list_devices
from dp_assets.networks.native_log import native_log

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
NO_DEVICE = "-1"
BACKENDS = ("tensorflow", "jax")


@dataclass(frozen=True)
class AcceleratorSettings:
    """What a process computes on, and how.

    Attributes
    ----------
    devices : "auto" (all that are there, else the CPU), "cpu", or graphics processors by number ("0,1") or
        identifier ("GPU-...", "MIG-...") as `nvidia-smi -L` lists them.
    memory_growth : take memory as it is needed, so that several processes can share a device.
    precision : dtype policy for networks; the caller gives it to them, there is no global one.
    xla : compile networks with XLA; the caller gives it to them.
    deterministic : only algorithms that give the same numbers every time (slower).
    """

    devices: str = "auto"
    memory_growth: bool = True
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    xla: bool = False
    deterministic: bool = False

    @property
    def process_wide(self) -> tuple[str, bool, bool]:
        """The part that cannot change any more once the framework runs."""
        return self.devices, self.memory_growth, self.deterministic


@dataclass(frozen=True)
class AcceleratorReport:
    """What a process computes on: names of `devices`, ("CPU",) without an accelerator, and a `message`."""

    devices: tuple[str, ...]
    message: str


_lock = threading.Lock()
_configured: tuple[AcceleratorSettings, AcceleratorReport] | None = None


def configure_accelerator(settings: AcceleratorSettings) -> AcceleratorReport:
    """Choose the devices of this process and import the framework of Keras (environment `KERAS_BACKEND`).

    Call before anything imports Keras. Further calls with the same process-wide settings (devices, memory
    growth, determinism) return the first report; precision and XLA may differ, they belong to the network.

    Raises
    ------
    DeviceError : a device does not exist or cannot be used, the process was set up otherwise before, or the
        framework runs already on other devices.
    """
    global _configured
    with _lock:
        if _configured is None:
            _configured = settings, _configure(settings)
        first, report = _configured
        if first.process_wide != settings.process_wide:
            raise DeviceError(
                f"this process was set up with {first} before; now {settings} is asked for",
                where="accelerator settings",
                remedy="use the same settings everywhere, or run this in a process of its own",
            )
        return report


def _configure(settings: AcceleratorSettings) -> AcceleratorReport:
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend not in BACKENDS:
        raise DeviceError(
            f"KERAS_BACKEND is {backend!r}",
            where="environment",
            remedy=f"use one of: {', '.join(BACKENDS)}; or remove the variable",
        )
    listed = list_devices()
    wanted = choose_devices(settings.devices, listed, os.environ.get(VISIBLE_DEVICES))
    set_up = _set_up_tensorflow if backend == "tensorflow" else _set_up_jax
    _show_only(wanted, backend)
    found = set_up(settings, wanted)
    if wanted and len(found) < len(wanted):
        raise _unusable(settings.devices, backend, found, listed)
    if found:
        return AcceleratorReport(found, f"{backend} computes on {', '.join(found)}")
    return AcceleratorReport(("CPU",), _cpu_message(settings, backend, listed))


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
    if settings.deterministic:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
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


def _cpu_message(settings: AcceleratorSettings, backend: str, listed: Sequence[ListedDevice]) -> str:
    if settings.devices == "cpu":
        return f"{backend} computes on the CPU, as asked for"
    if listed:
        there = "; ".join(map(str, listed))
        return f"{backend} computes on the CPU: it cannot use {there} (hidden, or installed without CUDA)"
    return f"{backend} computes on the CPU: no graphics processor was found"
