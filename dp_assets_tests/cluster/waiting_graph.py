"""A code location whose assets do nothing but take time, so that something can happen to them meanwhile."""

import ctypes
import os
import signal
import time
from pathlib import Path

import dagster as dg

PROJECT = Path(os.environ.get("DP_PROJECT", "."))
# As when loading the definitions takes more memory than there is; once.
DEADLY = PROJECT / "deadly"
if DEADLY.exists():
    DEADLY.unlink()
    os.kill(os.getpid(), signal.SIGKILL)


class WaitConfig(dg.Config):
    """How long, and whether with Python's global lock held, as native code can."""

    seconds: float = 1.0
    busy: bool = False


def wait(name: str, config: WaitConfig) -> None:
    """Write down that the asset began, wait or until there is a file `go`, write down that it ended."""
    with (PROJECT / f"{name}.txt").open("a") as log:
        log.write("began\n")
        log.flush()
        if config.busy:
            ctypes.PyDLL(None).sleep(int(config.seconds))
        else:
            deadline = time.monotonic() + config.seconds
            while time.monotonic() < deadline and not (PROJECT / "go").exists():
                time.sleep(0.1)
        log.write("ended\n")


@dg.asset
def on_a_cpu(config: WaitConfig) -> None:
    """Waits."""
    wait("on_a_cpu", config)


@dg.asset(pool="gpu")
def on_a_gpu(config: WaitConfig) -> None:
    """Waits in pool gpu."""
    wait("on_a_gpu", config)


defs = dg.Definitions(
    assets=[on_a_cpu, on_a_gpu],
    jobs=[dg.define_asset_job("cpu", selection=[on_a_cpu]), dg.define_asset_job("gpu", selection=[on_a_gpu])],
    executor=dg.in_process_executor,
)
