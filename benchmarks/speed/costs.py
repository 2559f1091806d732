"""What one more site costs, and what it costs to start: from processes of two sizes."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.speed.result import FeedRuns, Limit, ProcessRun, SizeRuns, StageRuns


@dataclass(frozen=True)
class StageCost:
    """A stage: t = start + sites x (cost of a site), through the medians of the smallest and largest size.

    Attributes
    ----------
    site_s, site_cpu_s : wall and CPU seconds of one more site.
    cell_s, cell_cpu_s : of one more cell; NaN where both sizes have as many.
    start_s, start_cpu_s : what is left for no site at all.
    wall_s, cpu_s : of the whole process at the largest size, which works on `sites`.
    peak_bytes : the most that any process of the stage took.
    """

    site_s: float
    site_cpu_s: float
    cell_s: float
    cell_cpu_s: float
    start_s: float
    start_cpu_s: float
    wall_s: float
    cpu_s: float
    sites: int
    peak_bytes: int


@dataclass(frozen=True)
class StepCost:
    """Seconds of one more training step, with the real feed and with a constant batch."""

    real_s: float
    constant_s: float


def stage_cost(stage: StageRuns) -> StageCost:
    """The cost of a stage. ValueError unless it was measured at two sizes at least."""
    if len(stage.sizes) < 2:
        raise ValueError(f"Expected a stage at two sizes. Received {len(stage.sizes)} ({stage.stage}).")
    small, large = stage.sizes[0], stage.sizes[-1]
    sites, cells = large.sites - small.sites, large.cells - small.cells
    if sites <= 0:
        raise ValueError(f"Expected ascending sizes. Received {small.sites} and {large.sites} sites.")
    wall, cpu = _difference(small, large, _wall), _difference(small, large, _cpu)
    return StageCost(
        site_s=wall / sites,
        site_cpu_s=cpu / sites,
        cell_s=wall / cells if cells > 0 else float("nan"),
        cell_cpu_s=cpu / cells if cells > 0 else float("nan"),
        start_s=median_of(small, _wall) - small.sites * wall / sites,
        start_cpu_s=median_of(small, _cpu) - small.sites * cpu / sites,
        wall_s=median_of(large, _wall),
        cpu_s=median_of(large, _cpu),
        sites=large.sites,
        peak_bytes=max(run.peak_bytes for size in stage.sizes for run in size.runs),
    )


def median_of(size: SizeRuns, value: Callable[[ProcessRun], float]) -> float:
    """The median over the repetitions of one size."""
    return statistics.median(value(run) for run in size.runs)


def median_mark(stage: StageRuns, mark: str) -> float | None:
    """Median seconds until something happened, over all processes; None where it was not marked."""
    found = [run.marks[mark] for size in stage.sizes for run in size.runs if mark in run.marks]
    return statistics.median(found) if found else None


def step_cost(feed: FeedRuns) -> StepCost:
    """Seconds of one more step: medians over the repetitions of each length."""
    first, last = feed.steps

    def marginal(seconds: tuple[tuple[float, float], ...]) -> float:
        few, many = (statistics.median(pair[number] for pair in seconds) for number in (0, 1))
        return (many - few) / (last - first)

    return StepCost(marginal(feed.real_s), marginal(feed.constant_s))


def limit_wall(limit: Limit) -> float:
    """Median wall seconds of an item on all cores."""
    return statistics.median(limit.wall_s)


def limit_cpu(limit: Limit) -> float:
    """Median CPU seconds of an item."""
    return statistics.median(limit.cpu_s)


def _wall(run: ProcessRun) -> float:
    return run.wall_s


def _cpu(run: ProcessRun) -> float:
    return run.cpu_s


def _difference(small: SizeRuns, large: SizeRuns, value: Callable[[ProcessRun], float]) -> float:
    return median_of(large, value) - median_of(small, value)
