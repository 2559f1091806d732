"""Killing processes of a service at random, from a seed."""

import random
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.soak.service import Service, ServiceProcess, kill_all

EVERYTHING = "everything"
# How often each is the victim.
WEIGHTS = {
    "run": 10,
    "daemon": 3,
    "code server": 2,
    "supervised": 2,
    "webserver": 1,
    EVERYTHING: 2,
}


@dataclass
class Chaos:
    """When what is killed.

    Attributes
    ----------
    seed : of times and victims.
    mean_seconds : between two kills.
    killed : kind -> how often.
    """

    seed: int
    mean_seconds: float
    killed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._next = self._random.expovariate(1 / self.mean_seconds)
        self._kind = self._choose()

    def strike(self, seconds: float, service: Service) -> str | None:
        """Kill what is due after so many seconds of the soak; what it was, None for nothing.

        A victim that is not there just now (no run is at work) is waited for.
        """
        if seconds < self._next:
            return None
        victims = self._victims(service.processes())
        if not victims:
            return None
        kill_all(victims)
        kind = self._kind
        self.killed[kind] += 1
        self._next = seconds + self._random.expovariate(1 / self.mean_seconds)
        self._kind = self._choose()
        return kind

    def _choose(self) -> str:
        return self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]

    def _victims(self, processes: list[ServiceProcess]) -> list[ServiceProcess]:
        if self._kind == EVERYTHING:
            return processes
        found = sorted((one for one in processes if one.kind == self._kind), key=lambda one: one.pid)
        return [self._random.choice(found)] if found else []
