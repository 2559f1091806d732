"""What a benchmark measured, as it is kept in JSON: raw numbers only; all else is computed from them."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.speed.settings import PlatesSettings, Settings

FORMAT = 1
OURS, PEER = "dp_assets", "deepprofiler"


@dataclass(frozen=True)
class ProcessRun:
    """One process: wall time and CPU seconds (of it and its children), the largest process' peak memory.

    `marks` are seconds after its begin at which something happened in it.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    marks: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SizeRuns:
    """The repetitions of one stage at one size: number of plates, sites and cells it worked on."""

    plates: int
    sites: int
    cells: int
    runs: tuple[ProcessRun, ...]


@dataclass(frozen=True)
class StageRuns:
    """A stage of one program, at sizes in ascending order."""

    stage: str
    program: str
    sizes: tuple[SizeRuns, ...]


@dataclass(frozen=True)
class Limit:
    """What only one part of the work takes: wall time on all cores, and CPU seconds, for each item.

    Attributes
    ----------
    name : such as `decode source`.
    unit : `image`, `cell`, `step` or `gigabyte`.
    items : how many were worked on.
    wall_s, cpu_s : of one item; one value for each repetition.
    variant : the fastest of several ways to do it, where there are several.
    """

    name: str
    unit: str
    items: int
    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    variant: str = ""


@dataclass(frozen=True)
class FeedRuns:
    """Training epochs: seconds of so many steps, with cells from a crop store and with one constant batch."""

    steps: tuple[int, int]
    batch_size: int
    real_s: tuple[tuple[float, float], ...]
    constant_s: tuple[tuple[float, float], ...]
    peak_bytes: int


@dataclass(frozen=True)
class Machine:
    """Where it was measured."""

    cpu: str
    cores: int
    memory_bytes: int
    system: str
    devices: tuple[str, ...]
    load_before: float


@dataclass(frozen=True)
class Result:
    """One benchmark.

    Attributes
    ----------
    kind : `speed`, or `scaling` (one stage at many sizes, small images).
    bare_framework : a process that only imports the framework and starts it.
    image_bytes : of the average image: `source` as it came, and compressed, by codec.
    """

    kind: str
    date: str
    versions: dict[str, str]
    machine: Machine
    settings: Settings
    stages: tuple[StageRuns, ...] = ()
    limits: tuple[Limit, ...] = ()
    feed: FeedRuns | None = None
    bare_framework: tuple[ProcessRun, ...] = ()
    image_bytes: dict[str, float] = field(default_factory=dict)

    def stage(self, name: str, program: str = OURS) -> StageRuns | None:
        """The runs of a stage, if it was measured."""
        return next((s for s in self.stages if s.stage == name and s.program == program), None)

    def limit(self, name: str) -> Limit | None:
        """A limit, if it was measured."""
        return next((limit for limit in self.limits if limit.name == name), None)


def write_result(path: Path, result: Result) -> None:
    """Write a result as JSON."""
    text = json.dumps({"format": FORMAT, **asdict(result)}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def read_result(path: Path) -> Result:
    """Read what `write_result` wrote. ValueError for another format."""
    data = json.loads(path.read_text(encoding="utf-8"))
    if data.pop("format", None) != FORMAT:
        raise ValueError(f"Expected a benchmark result of format {FORMAT}. Received {path}.")
    return _result(data)


def _result(data: dict[str, Any]) -> Result:
    settings = dict(data["settings"])
    settings["images"] = PlatesSettings(**settings["images"])
    settings["steps"] = tuple(settings["steps"])
    machine = dict(data["machine"], devices=tuple(data["machine"]["devices"]))
    feed = data["feed"]
    return Result(
        kind=data["kind"],
        date=data["date"],
        versions=data["versions"],
        machine=Machine(**machine),
        settings=Settings(**settings),
        stages=tuple(
            StageRuns(stage["stage"], stage["program"], tuple(map(_size, stage["sizes"])))
            for stage in data["stages"]
        ),
        limits=tuple(
            Limit(**{**limit, "wall_s": tuple(limit["wall_s"]), "cpu_s": tuple(limit["cpu_s"])})
            for limit in data["limits"]
        ),
        feed=None
        if feed is None
        else FeedRuns(
            tuple(feed["steps"]),
            feed["batch_size"],
            tuple(map(tuple, feed["real_s"])),
            tuple(map(tuple, feed["constant_s"])),
            feed["peak_bytes"],
        ),
        bare_framework=tuple(ProcessRun(**run) for run in data["bare_framework"]),
        image_bytes=data["image_bytes"],
    )


def _size(data: dict[str, Any]) -> SizeRuns:
    runs = tuple(ProcessRun(**run) for run in data["runs"])
    return SizeRuns(data["plates"], data["sites"], data["cells"], runs)
