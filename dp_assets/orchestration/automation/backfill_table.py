"""What a backfill would make, as tables for people."""

from collections import Counter
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dp_assets.orchestration.automation.backfill_plan import KINDS, Wanted

ROWS_SHOWN = 60
LONGEST_REASON = 100


def print_plan(plan: Sequence[Wanted], console: Console) -> None:
    """How many results of each asset, then what is made of each plate and why."""
    if not plan:
        console.print("[green]nothing to do[/green]")
        return
    counts = Counter((wanted.stage, wanted.key.to_user_string(), wanted.kind) for wanted in plan)
    assets = dict.fromkeys((wanted.stage, wanted.key.to_user_string()) for wanted in plan)
    summary = Table("stage", "asset", *KINDS, box=SIMPLE_HEAD, pad_edge=False)
    for stage, asset in assets:
        numbers = (counts[stage, asset, kind] for kind in KINDS)
        summary.add_row(stage, asset, *(str(number) if number else "" for number in numbers))
    console.print(summary)
    rows: dict[tuple[str, str, str], list[str]] = {}
    for wanted in plan:
        reason = f"{wanted.kind}: {wanted.why}"
        rows.setdefault((wanted.plate or "-", wanted.stage, reason), []).append(wanted.key.path[-1])
    reasons = Table("plate", "stage", "assets", "why", box=SIMPLE_HEAD, pad_edge=False)
    for (plate, stage, reason), names in list(rows.items())[:ROWS_SHOWN]:
        reasons.add_row(plate, stage, ", ".join(names), escape(reason[:LONGEST_REASON]))
    console.print(reasons)
    if len(rows) > ROWS_SHOWN:
        console.print(f"... and {len(rows) - ROWS_SHOWN} more rows")
