"""The tables that a benchmark prints."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from benchmarks.speed.costs import limit_cpu, limit_wall, median_mark, stage_cost, step_cost
from benchmarks.speed.result import OURS, Result
from benchmarks.speed.stages import BEGUN, DEFINED, FIRST_SITE, IMPORTED
from benchmarks.speed.targets import cpu_bound_of_stage, targets

Rows = tuple[tuple[str, ...], Sequence[tuple[str, ...]]]
"""Headings, and the rows below them."""


def stage_rows(result: Result) -> Rows:
    """What every stage costs."""
    headings = (
        "stage",
        "program",
        "sites/s",
        "cells/s",
        "CPU ms/site",
        "over limit",
        "start-up s",
        "whole s",
        "whole CPU s",
        "peak MB",
    )
    rows: list[tuple[str, ...]] = []
    for stage in result.stages:
        cost = stage_cost(stage)
        bound = cpu_bound_of_stage(result, stage.stage) if stage.program == OURS else None
        rows.append(
            (
                stage.stage,
                stage.program,
                _rate(cost.site_s, 2),
                _rate(cost.cell_s, 0),
                f"{cost.site_cpu_s * 1e3:.0f}",
                "" if bound is None or cost.site_cpu_s <= 0 else f"{cost.site_cpu_s / bound:.2f}",
                f"{cost.start_s:.2f}",
                f"{cost.wall_s:.2f}",
                f"{cost.cpu_s:.2f}",
                f"{cost.peak_bytes / 1e6:.0f}",
            )
        )
    return headings, rows


def _rate(seconds: float, digits: int) -> str:
    """Items a second; nothing where noise made the cost of an item vanish."""
    return f"{1 / seconds:.{digits}f}" if seconds > 0 else ""


def start_rows(result: Result) -> Rows:
    """Where the start-up of our own stages goes: medians, seconds since the process began."""
    marks = (IMPORTED, DEFINED, BEGUN, FIRST_SITE)
    rows = [
        (stage.stage, *(_seconds(median_mark(stage, mark)) for mark in marks))
        for stage in result.stages
        if stage.program == OURS
    ]
    return ("stage", "imported s", "graph built s", "run begun s", "first site read s"), rows


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}"


def limit_rows(result: Result) -> Rows:
    """What the parts take at least."""
    headings = ("limit", "of one", "wall ms", "CPU ms", "by")
    rows = [
        (
            limit.name,
            limit.unit,
            f"{limit_wall(limit) * 1e3:.3f}",
            f"{limit_cpu(limit) * 1e3:.3f}",
            limit.variant,
        )
        for limit in result.limits
    ]
    if result.feed is not None:
        step = step_cost(result.feed)
        rows.append(("training step, constant batch", "step", f"{step.constant_s * 1e3:.1f}", "", ""))
        rows.append(("training step, real feed", "step", f"{step.real_s * 1e3:.1f}", "", ""))
    return headings, rows


def target_rows(result: Result) -> Rows:
    """What is asked of the stages, and whether it is so."""
    rows = [
        (target.stage, target.what, f"{target.found:.2f}", target.asked, "yes" if target.met else "no")
        for target in targets(result)
    ]
    return ("stage", "what", "found", "asked", "met"), rows


def rich_table(title: str, rows: Rows) -> Table:
    """A table for the terminal; numbers to the right, what is not met in red."""
    headings, lines = rows
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number < 2 else "right")
    for line in lines:
        table.add_row(*line, style="red" if line[-1] == "no" else None)
    return table


def markdown_table(rows: Rows) -> str:
    """The same in Markdown."""
    headings, lines = rows
    return "\n".join(_markdown(headings, lines))


def _markdown(headings: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield "|" + "---|" * len(headings)
    for line in lines:
        yield f"| {' | '.join(line)} |"


def tables(result: Result) -> list[Table]:
    """All tables of a result."""
    return [
        rich_table("Stages, cost of one more site", stage_rows(result)),
        rich_table("Start-up", start_rows(result)),
        rich_table("Limits", limit_rows(result)),
        rich_table("Targets", target_rows(result)),
    ]
