"""A process that executes a run of a project's instance until it is killed: it marks it, and says so."""

import signal
import sys

from dagster import DagsterInstance

from dp_assets.orchestration.live_runs import mark_as_live

if __name__ == "__main__":
    with DagsterInstance.from_config(sys.argv[1]) as instance:
        mark_as_live(instance, sys.argv[2])
        print("marked", flush=True)
        signal.pause()
