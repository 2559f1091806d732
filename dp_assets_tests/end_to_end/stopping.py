"""Dagster's command line, in a process that stops itself (SIGSTOP) once it has finished its first site."""

import os
import runpy
import signal
import threading

from dp_assets.storage.work import WorkFolder

keep = WorkFolder.keep
first = threading.Lock()


def keep_and_stop(work: WorkFolder, *arguments: object) -> str:
    """Keep the unit, then stand still until the test goes on."""
    seal = keep(work, *arguments)  # type: ignore[arg-type]
    if first.acquire(blocking=False):
        os.kill(os.getpid(), signal.SIGSTOP)
    return seal


if __name__ == "__main__":
    WorkFolder.keep = keep_and_stop  # type: ignore[method-assign]
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)
