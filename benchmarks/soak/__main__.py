"""Run the soak and print what came of it.

python -m benchmarks.soak [--plates 40] [--minutes 20] [--kill-every 45] [--patience 20] [--seed 1]
                          [--folder DIR] [--json FILE]

Plates arrive evenly over the minutes while processes of the service are killed. Then nothing is killed any
more, and within the time of patience every plate has to be complete. Exit code 1 when a line of the verdict
is not as it should be.
"""

import argparse
import json
import platform
import socket
import sys
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.soak import scenario
from benchmarks.soak.chaos import Chaos
from benchmarks.soak.service import Service, kill_all
from benchmarks.soak.verdict import InstanceState, instance_state, shown_in_progress
from dp_assets_tests.published_contents import differences, fingerprints

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_COMPARISONS = 10.0

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Verdict:
    """What came of a soak; every list is empty and every count of leftovers 0 when it came out well."""

    plates: int
    complete: int
    minutes: float
    minutes_until_all_equal: float | None
    kills: dict[str, int]
    starts: int
    files: int
    differences: list[str]
    state: InstanceState
    shown_in_progress: list[str]
    orphans: list[str]

    @property
    def passed(self) -> bool:
        """Whether everything is as it should be."""
        return (
            self.complete == self.plates
            and self.files > 0
            and not self.differences
            and not self.state.in_progress
            and not self.state.slots
            and not self.shown_in_progress
            and not self.orphans
        )


def soak(
    folder: Path, *, plates: int, minutes: float, kill_every: float, patience_minutes: float, seed: int
) -> Verdict:
    """Run calmly, then soak, then compare.

    Parameters
    ----------
    folder : empty; afterwards `calm`, `soaked` and the logs lie there.
    """
    calm, root = folder / "calm", folder / "soaked"
    names = scenario.write_calm_project(calm, plates)
    console.print(f"{plates} plates in {folder}; calm run ...")
    started = time.monotonic()
    scenario.run_calmly(calm, folder / "calm.log")
    console.print(f"calm run done in {time.monotonic() - started:.0f} s")
    expected = fingerprints(calm / "outputs")
    scenario.write_empty_project(root, calm)
    service = Service(root, _free_port(), folder / "service.log", uuid.uuid4().hex)
    chaos = Chaos(seed, kill_every)
    service.start()
    try:
        started = time.monotonic()
        _arrive_under_fire(names, root, calm, service, chaos, minutes)
        equal_after = _calm_down(root, expected, service, names, patience_minutes, started)
        shown = _shown(service)
    finally:
        service.stop()
    left = service.processes()
    kill_all(left)
    return Verdict(
        plates=plates,
        complete=len(scenario.complete_plates(root, names)),
        minutes=minutes,
        minutes_until_all_equal=equal_after,
        kills=dict(chaos.killed),
        starts=service.starts,
        files=len(expected),
        differences=differences(expected, fingerprints(root / "outputs")),
        state=instance_state(root / ".dagster"),
        shown_in_progress=shown,
        orphans=[f"{process.kind} {process.pid}" for process in left],
    )


def _arrive_under_fire(
    names: list[str], root: Path, calm: Path, service: Service, chaos: Chaos, minutes: float
) -> None:
    """Deliver the plates evenly over the minutes; kill and restart meanwhile."""
    waiting = names[scenario.TRAINING_PLATES :]
    pause = minutes * 60 / max(1, len(waiting))
    started = time.monotonic()
    delivered = 0
    while (seconds := time.monotonic() - started) < minutes * 60 or delivered < len(waiting):
        if delivered < len(waiting) and seconds >= delivered * pause:
            scenario.deliver(root, calm, waiting[delivered])
            delivered += 1
        killed = chaos.strike(seconds, service)
        if killed is not None:
            done = len(scenario.complete_plates(root, names))
            console.print(
                f"{seconds:6.0f} s  killed {killed:<17} "
                f"{delivered + scenario.TRAINING_PLATES} plates there, {done} complete"
            )
        service.keep_going()
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _calm_down(
    root: Path,
    expected: dict[str, str],
    service: Service,
    names: list[str],
    patience_minutes: float,
    started: float,
) -> float | None:
    """Wait until everything is as in the calm run and nothing goes on; minutes since the start, or None."""
    deadline = time.monotonic() + patience_minutes * 60
    while time.monotonic() < deadline:
        service.keep_going()
        done = len(scenario.complete_plates(root, names))
        if done == len(names) and not differences(expected, fingerprints(root / "outputs")):
            state = instance_state(root / ".dagster")
            if not state.in_progress and not state.slots:
                return round((time.monotonic() - started) / 60, 1)
        console.print(f"waiting: {done} of {len(names)} plates complete")
        time.sleep(SECONDS_BETWEEN_COMPARISONS)
    return None


def _shown(service: Service) -> list[str]:
    try:
        return shown_in_progress(service.port)
    except OSError as error:
        return [f"the UI does not answer: {error}"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def show(verdict: Verdict) -> None:
    """Print the verdict as a table."""
    table = Table("what", "found", "as it should be")
    kills = sum(verdict.kills.values())
    named = ", ".join(f"{kind} {count}" for kind, count in sorted(verdict.kills.items()))
    equal = verdict.minutes_until_all_equal
    rows: list[tuple[str, str, bool | None]] = [
        (
            "plates complete",
            f"{verdict.complete} of {verdict.plates}",
            verdict.complete == verdict.plates,
        ),
        (
            "files equal to the calm run",
            f"{verdict.files - len(verdict.differences)} of {verdict.files}",
            verdict.files > 0 and not verdict.differences,
        ),
        ("kills", f"{kills} ({named or 'none'})", None),
        ("starts of the service", str(verdict.starts), None),
        ("minutes under fire", f"{verdict.minutes:g}", None),
        ("minutes until all was equal", "never" if equal is None else f"{equal:g}", equal is not None),
        ("runs", ", ".join(f"{name} {n}" for name, n in sorted(verdict.state.runs.items())), None),
        ("runs that are retries", str(verdict.state.retried), None),
        ("runs left in progress", str(len(verdict.state.in_progress)), not verdict.state.in_progress),
        ("runs the UI shows as going on", str(len(verdict.shown_in_progress)), not verdict.shown_in_progress),
        ("places in pools left claimed", str(verdict.state.slots), not verdict.state.slots),
        ("processes left after the stop", str(len(verdict.orphans)), not verdict.orphans),
    ]
    for what, found, good in rows:
        table.add_row(what, found, "" if good is None else ("yes" if good else "[red]no[/red]"))
    console.print(table)
    for name in verdict.differences[:20]:
        console.print(f"  {name}")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--plates", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--kill-every", type=float, default=45.0, help="mean seconds between two kills")
    parser.add_argument("--patience", type=float, default=20.0, help="minutes to come to an end afterwards")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="an empty folder to work in, kept afterwards")
    parser.add_argument("--json", type=Path, help="write the verdict here")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="dp-assets-soak-"))
    verdict = soak(
        folder.resolve(),
        plates=options.plates,
        minutes=options.minutes,
        kill_every=options.kill_every,
        patience_minutes=options.patience,
        seed=options.seed,
    )
    show(verdict)
    if options.json:
        facts = {**asdict(verdict), "passed": verdict.passed, "machine": platform.platform()}
        options.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())
