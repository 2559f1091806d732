"""A whole installation on this machine: servers, the shipped instance with shorter times, workers, daemon."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from dagster import DagsterInstance, DagsterRun

from dp_assets_tests.cluster.processes import Machine, module, processes_of, wait_until
from dp_assets_tests.cluster.servers import Postgres, RedisServer
from dp_assets_tests.conftest import REPOSITORY

SHIPPED = REPOSITORY / "configs" / "dagster" / "cluster.yaml"
LOST_AFTER_SECONDS = 25
PATIENCE = 120.0


class Installation:
    """Servers and machines around one project.

    Parameters
    ----------
    folder : for the instance and the logs.
    root : the project, as on a file system that all machines share.
    definitions : the module of the code location.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        postgres: Postgres,
        redis: RedisServer,
        definitions: str = "dp_assets.definitions",
    ) -> None:
        self.folder, self.root = folder, root
        self.postgres, self.redis = postgres, redis
        self._definitions = definitions
        self.machines: list[Machine] = []
        home = folder / "home"
        home.mkdir(parents=True)
        (home / "dagster.yaml").write_text(
            yaml.safe_dump(with_short_times(yaml.safe_load(SHIPPED.read_text())))
        )
        self.environment = {
            **os.environ,
            "DP_PROJECT": str(root),
            "DAGSTER_HOME": str(home),
            "DP_POSTGRES_URL": postgres.url,
            "DP_BROKER_URL": redis.url,
            "PYTHONPATH": str(REPOSITORY),
        }

    @contextmanager
    def instance(self) -> Iterator[DagsterInstance]:
        """The instance, in this process."""
        before = {name: os.environ.get(name) for name in ("DP_POSTGRES_URL", "DP_BROKER_URL")}
        os.environ.update({name: self.environment[name] for name in before})
        try:
            with DagsterInstance.from_config(self.environment["DAGSTER_HOME"]) as instance:
                yield instance
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    def worker(self, name: str, *queues: str) -> Machine:
        """A machine with one worker, ready to take runs."""
        options = [part for queue in queues for part in ("--queue", queue)]
        made = self.machine(name, module("dp_assets.cli", "worker", *options))
        wait_until(lambda: " ready." in made.text(), f"worker {name} is ready ({made.log})", PATIENCE)
        return made

    def daemon(self) -> Machine:
        """The machine with Dagster's daemon."""
        return self.machine("daemon", module("dagster._daemon", "run", "-m", self._definitions))

    def command(self, name: str, *arguments: str) -> Machine:
        """`dp-assets` with arguments."""
        return self.machine(name, module("dp_assets.cli", *arguments))

    def leftovers(self) -> dict[str, list[int]]:
        """Machine -> its processes that are still there."""
        found = {machine.log.stem: processes_of(machine.pid) for machine in self.machines}
        return {name: pids for name, pids in found.items() if pids}

    def stop(self) -> None:
        """Switch everything off but the servers."""
        for machine in reversed(self.machines):
            machine.stop()

    def machine(self, name: str, command: list[str]) -> Machine:
        """A machine that runs a command."""
        made = Machine(command, self.folder / f"{name}.log", self.environment)
        self.machines.append(made)
        return made


def with_short_times(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The shipped instance, with times that a test can wait for."""
    launcher = {**settings["run_launcher"]}
    launcher["config"] = {**launcher["config"], "lost_after_seconds": LOST_AFTER_SECONDS}
    monitoring = {
        **settings["run_monitoring"],
        "poll_interval_seconds": 2,
        "free_slots_after_run_end_seconds": 5,
        "cancel_timeout_seconds": 30,
    }
    return {**settings, "run_launcher": launcher, "run_monitoring": monitoring}


def worker_of(run: DagsterRun) -> str:
    """The process id of the worker that took a run, as its name says; empty before."""
    return run.tags.get("dp/worker", "").partition("@")[0].rpartition("-")[2]
