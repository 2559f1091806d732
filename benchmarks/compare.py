"""Two benchmark results side by side, with ratios.

python -m benchmarks.compare A.json B.json

A ratio is B over A: below 1, B takes less.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from benchmarks.speed.costs import limit_cpu, limit_wall, stage_cost, step_cost
from benchmarks.speed.result import Result, read_result
from benchmarks.speed.table import Rows, rich_table

NARROWEST = 120
Value = tuple[str, str, float]
"""What it is of, what it is, and how much."""


def values(result: Result) -> Iterator[Value]:
    """Everything that can be compared."""
    for stage in result.stages:
        name = f"{stage.stage}, {stage.program}"
        cost = stage_cost(stage)
        yield name, "ms/site", cost.site_s * 1e3
        yield name, "CPU ms/site", cost.site_cpu_s * 1e3
        yield name, "start-up s", cost.start_s
        yield name, "peak MB", cost.peak_bytes / 1e6
    for limit in result.limits:
        yield limit.name, f"ms/{limit.unit}", limit_wall(limit) * 1e3
        yield limit.name, f"CPU ms/{limit.unit}", limit_cpu(limit) * 1e3
    if result.feed is not None:
        step = step_cost(result.feed)
        yield "training feed", "ms/step", step.real_s * 1e3
        yield "training feed", "ms/step, constant batch", step.constant_s * 1e3


def comparison(first: Result, second: Result) -> Rows:
    """One row for everything that both have."""
    others = {(of, what): value for of, what, value in values(second)}
    rows = [
        (of, what, f"{value:.2f}", f"{others[of, what]:.2f}", _ratio(others[of, what], value))
        for of, what, value in values(first)
        if (of, what) in others
    ]
    return ("of", "what", "A", "B", "B / A"), rows


def differences(first: Result, second: Result) -> list[str]:
    """What makes two results hard to compare: machine, settings, versions."""
    found = []
    for what, a, b in (
        ("kind", first.kind, second.kind),
        ("cpu", first.machine.cpu, second.machine.cpu),
        ("cores", first.machine.cores, second.machine.cores),
        ("devices", first.machine.devices, second.machine.devices),
        ("settings", first.settings, second.settings),
    ):
        if a != b:
            found.append(f"{what}: {a} and {b}")
    names = sorted({*first.versions, *second.versions})
    for name in names:
        a, b = first.versions.get(name, "none"), second.versions.get(name, "none")
        if a != b:
            found.append(f"version of {name}: {a} and {b}")
    return found


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.2f}" if base > 0 else ""


def main() -> int:
    """Compare the two files of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    options = parser.parse_args()
    first, second = read_result(options.first), read_result(options.second)
    console = Console(highlight=False)
    console.width = max(console.width, NARROWEST)
    for text in differences(first, second):
        console.print(f"not the same: {text}", markup=False)
    console.print(rich_table(f"A: {options.first}\nB: {options.second}", comparison(first, second)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
