"""What is asked of each stage, as ratios of what one run measured."""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.speed.costs import (
    StageCost,
    limit_cpu,
    limit_wall,
    median_mark,
    stage_cost,
    step_cost,
)
from benchmarks.speed.result import OURS, PEER, Result
from benchmarks.speed.stages import CROPS, FAST_PREPARE, FIRST_SITE, PREPARE, PROFILE

RECORDED_CELL_S = 5.1e-3
"""Seconds that the 2024 version of DeepProfiler took to export a cell, on one core of a machine where ..."""
RECORDED_PEER_SITE_S = 0.48
"""... `prepare` of DeepProfiler 0.5.1 took so many seconds a site, on two cores."""
MEGABYTE = 1e6
_OF_A_CELL = {CROPS: "encode crops", PROFILE: "forward"}


@dataclass(frozen=True)
class Target:
    """One requirement.

    Attributes
    ----------
    stage, what : what it is about.
    found : the value that was measured.
    bound : what it has to be, at least or at most.
    at_least : which of the two.
    """

    stage: str
    what: str
    found: float
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether it is as required; a negative cost is noise, and nothing is met by it."""
        if not self.found > 0:
            return False
        return self.found >= self.bound if self.at_least else self.found <= self.bound

    @property
    def asked(self) -> str:
        """The requirement as text."""
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


def targets(result: Result) -> list[Target]:
    """The requirements of which this result says something."""
    return [
        *_preparation(result),
        *_crops(result),
        *_profiling(result),
        *_feed(result),
    ]


def cpu_bound_of_stage(result: Result, stage: str) -> float | None:
    """CPU seconds of a site that cannot be avoided: decode, encode, network. None where not measured."""
    channels = result.settings.images.channels
    if stage in (PREPARE, FAST_PREPARE):
        codec = result.settings.fast_codec if stage == FAST_PREPARE else "png"
        decode, encode = _cpu(result, "decode source"), _cpu(result, f"encode {codec}")
        return None if decode is None or encode is None else channels * (2 * decode + encode)
    decode, of_cell = _cpu(result, "decode png"), _cpu(result, _OF_A_CELL.get(stage, ""))
    per_site = _cells_per_site(result, stage)
    if decode is None or of_cell is None or per_site is None:
        return None
    return channels * decode + per_site * of_cell


def wall_bound_of_profiling(result: Result) -> float | None:
    """Seconds of a site that profiling takes at least, on all cores or on the device."""
    cpu = cpu_bound_of_stage(result, PROFILE)
    if cpu is None:
        return None
    if result.machine.devices == ("CPU",):
        return cpu / result.machine.cores
    decode, forward = result.limit("decode png"), result.limit("forward")
    per_site = _cells_per_site(result, PROFILE)
    if decode is None or forward is None or per_site is None:
        return None
    return max(result.settings.images.channels * limit_wall(decode), per_site * limit_wall(forward))


def _preparation(result: Result) -> Iterator[Target]:
    peer = _cost(result, PREPARE, PEER)
    for stage, ratio in ((PREPARE, 4.0), (FAST_PREPARE, 6.0)):
        cost, bound = _cost(result, stage), cpu_bound_of_stage(result, stage)
        if cost is None:
            continue
        if peer is not None:
            yield Target(stage, "sites/s over the peer's", peer.site_s / cost.site_s, ratio, True)
        if bound is not None:
            yield Target(
                stage, "CPU time over decode twice, encode once", cost.site_cpu_s / bound, 1.6, False
            )
        yield Target(stage, "peak memory, MB", cost.peak_bytes / MEGABYTE, 700, False)


def _crops(result: Result) -> Iterator[Target]:
    cost, bound = _cost(result, CROPS), cpu_bound_of_stage(result, CROPS)
    if cost is None:
        return
    if bound is not None:
        yield Target(CROPS, "CPU time over decode, encode crops", cost.site_cpu_s / bound, 2.0, False)
    peer = _cost(result, PREPARE, PEER)
    if peer is not None and not math.isnan(cost.cell_s):
        # The recorded time is that of another machine; the peer's speed here and there says how they compare.
        original = RECORDED_CELL_S * peer.site_s / RECORDED_PEER_SITE_S
        yield Target(
            CROPS, "cells/s over the original's (recorded, scaled)", original / cost.cell_s, 15, True
        )


def _profiling(result: Result) -> Iterator[Target]:
    cost, bound = _cost(result, PROFILE), wall_bound_of_profiling(result)
    if cost is None:
        return
    if bound is not None:
        yield Target(PROFILE, "wall time over the bound", cost.site_s / bound, 1.15, False)
    peer = _cost(result, PROFILE, PEER)
    stage = result.stage(PROFILE)
    first = median_mark(stage, FIRST_SITE) if stage is not None else None
    if peer is not None:
        yield Target(PROFILE, "cells/s over the peer's", peer.cell_s / cost.cell_s, 1.9, True)
        if first is not None:
            yield Target(
                PROFILE, "time to the first cell over the peer's start-up", first / peer.start_s, 1, False
            )
    if result.bare_framework:
        bare = statistics.median(run.peak_bytes for run in result.bare_framework)
        yield Target(
            PROFILE, "peak memory beyond the framework, MB", (cost.peak_bytes - bare) / MEGABYTE, 1200, False
        )


def _feed(result: Result) -> Iterator[Target]:
    if result.feed is None:
        return
    step = step_cost(result.feed)
    bound = 1.15 if result.machine.devices == ("CPU",) else 1.05
    yield Target(
        "training feed", "step over that on a constant batch", step.real_s / step.constant_s, bound, False
    )


def _cost(result: Result, stage: str, program: str = OURS) -> StageCost | None:
    found = result.stage(stage, program)
    return None if found is None else stage_cost(found)


def _cells_per_site(result: Result, stage: str) -> float | None:
    found = result.stage(stage)
    if found is None:
        return None
    small, large = found.sizes[0], found.sizes[-1]
    return (large.cells - small.cells) / (large.sites - small.sites)


def _cpu(result: Result, name: str) -> float | None:
    limit = result.limit(name)
    return None if limit is None else limit_cpu(limit)
