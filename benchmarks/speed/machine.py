"""The machine and the versions that a benchmark ran on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks.speed.result import Machine
from dp_assets import __version__

NAMED = ("dagster", "keras", "tensorflow", "numpy", "imagecodecs", "tifffile", "pyarrow")


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_facts(devices: tuple[str, ...]) -> Machine:
    """Where this runs; `devices` are those that networks compute on."""
    return Machine(
        cpu=_cpu_model(),
        cores=usable_cores(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=platform.system(),
        devices=devices,
        load_before=round(os.getloadavg()[0], 2),
    )


def versions() -> dict[str, str]:
    """Package -> version."""
    return {
        "dp_assets": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in NAMED},
    }


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
