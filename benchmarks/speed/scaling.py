"""Whether a site costs the same, and memory stays, however many plates and sites there are; small images."""

import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from benchmarks.speed.costs import median_of
from benchmarks.speed.machine import machine_facts, usable_cores, versions
from benchmarks.speed.plates import make_plates
from benchmarks.speed.processes import own_module
from benchmarks.speed.project import CHECKPOINT, BenchProject, write_project
from benchmarks.speed.result import OURS, ProcessRun, Result, SizeRuns, StageRuns
from benchmarks.speed.settings import PlatesSettings, Settings
from benchmarks.speed.stages import CROPS, PREPARE, PROFILE, PROFILING, TABLES, assets_of
from benchmarks.speed.table import Rows

SIZES = ((1, 24), (2, 24), (4, 24), (8, 24), (1, 96), (1, 384))
"""Plates, and sites of each."""
SMALL = PlatesSettings(rows=256, cols=256, cells=6, box=48)
MEASURED = (PREPARE, CROPS, PROFILE)


@dataclass
class Scaling:
    """The measurement; attributes as `Benchmark`. Of the settings' images only channels and source count."""

    work: Path
    settings: Settings
    say: Callable[[str], None]
    sizes: tuple[tuple[int, int], ...] = SIZES
    images: PlatesSettings = SMALL

    def measure(self) -> Result:
        """Measure all stages at all sizes."""
        before = machine_facts(())
        given = self.settings.images
        settings = replace(
            self.settings, images=replace(self.images, channels=given.channels, source=given.source)
        )
        found: dict[str, list[SizeRuns]] = {stage: [] for stage in MEASURED}
        for plates, sites in self.sizes:
            project = self._project(settings, plates, sites)
            for stage in MEASURED:
                if stage == PROFILE:
                    project.run([f"{PROFILING}/trained_model"])
                runs = tuple(
                    project.run(assets_of(stage, settings.images.box)) for _ in range(settings.repeats)
                )
                found[stage].append(SizeRuns(plates, project.sites, project.cells, runs))
                self.say(f"{plates} x {sites} sites, {stage}: {median_of(found[stage][-1], _wall):.1f} s")
            shutil.rmtree(project.root)
        stages = tuple(StageRuns(stage, OURS, tuple(sizes)) for stage, sizes in found.items())
        return Result(
            kind="scaling",
            date=datetime.now(UTC).date().isoformat(),
            versions=versions(),
            machine=before,
            settings=settings,
            stages=stages,
        )

    def _project(self, settings: Settings, plates: int, sites: int) -> BenchProject:
        images = replace(settings.images, plates=plates, sites=plates * sites)
        made = make_plates(self.work, images, usable_cores())
        root = self.work / f"scaling-{plates}x{sites}"
        shutil.rmtree(root, ignore_errors=True)
        project = write_project(root, made, replace(settings, images=images), share=1.0, codec="png")
        target = root / "inputs" / "pretrained" / CHECKPOINT
        request = {"box": images.box, "channels": images.channels, "classes": 2, "target": str(target)}
        own_module("checkpoint_process", request, project.log)
        project.run(["image_index", *TABLES])
        return project


@dataclass(frozen=True)
class SizeCost:
    """One stage at one size: seconds of one more site than at the smallest size, and peak memory."""

    size: SizeRuns
    site_s: float | None
    site_cpu_s: float | None
    peak_bytes: int


def size_costs(stage: StageRuns) -> list[SizeCost]:
    """The cost of every size of a stage, against the smallest; None for that one itself."""
    first = stage.sizes[0]
    costs = []
    for size in stage.sizes:
        more = size.sites - first.sites
        wall = (median_of(size, _wall) - median_of(first, _wall)) / more if more else None
        cpu = (median_of(size, _cpu) - median_of(first, _cpu)) / more if more else None
        costs.append(SizeCost(size, wall, cpu, max(run.peak_bytes for run in size.runs)))
    return costs


def scaling_rows(result: Result) -> Rows:
    """The table of a scaling measurement."""
    rows: list[tuple[str, ...]] = []
    for stage in result.stages:
        for cost in size_costs(stage):
            size = cost.size
            rows.append(
                (
                    stage.stage,
                    str(size.plates),
                    str(size.sites // size.plates),
                    f"{median_of(size, _wall):.1f}",
                    _milliseconds(cost.site_s),
                    _milliseconds(cost.site_cpu_s),
                    f"{cost.peak_bytes / 1e6:.0f}",
                )
            )
    headings = ("stage", "plates", "sites each", "whole s", "ms/site more", "CPU ms/site more", "peak MB")
    return headings, rows


def step_rows(result: Result) -> Rows:
    """What is added from one size to the next: seconds of a plate more, milliseconds of a site more.

    *over the first*: CPU time of the step over that of the first step of its kind; 1 when cost is flat.
    """
    rows: list[tuple[str, ...]] = []
    for stage in result.stages:
        fewest = stage.sizes[0].sites // stage.sizes[0].plates
        plates = [size for size in stage.sizes if size.sites == fewest * size.plates]
        sites = [size for size in stage.sizes if size.plates == 1]
        for unit, sizes in (("plate", plates), ("site", sites)):
            first: float | None = None
            for small, large in pairwise(sizes):
                more = large.plates - small.plates if unit == "plate" else large.sites - small.sites
                wall = (median_of(large, _wall) - median_of(small, _wall)) / more
                cpu = (median_of(large, _cpu) - median_of(small, _cpu)) / more
                first = first or cpu
                rows.append(
                    (
                        stage.stage,
                        f"{small.plates} x {fewest if unit == 'plate' else small.sites}",
                        f"{large.plates} x {fewest if unit == 'plate' else large.sites}",
                        f"{wall:.2f} s a plate" if unit == "plate" else f"{wall * 1e3:.1f} ms a site",
                        f"{cpu:.2f} s a plate" if unit == "plate" else f"{cpu * 1e3:.1f} ms a site",
                        f"{cpu / first:.2f}",
                        f"{_peak(large) / _peak(small):.2f}",
                    )
                )
    headings = ("stage", "from", "to", "wall", "CPU", "over the first", "peak memory, ratio")
    return headings, rows


def _peak(size: SizeRuns) -> float:
    return statistics.median(run.peak_bytes for run in size.runs)


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.1f}"


def _wall(run: ProcessRun) -> float:
    return run.wall_s


def _cpu(run: ProcessRun) -> float:
    return run.cpu_s
