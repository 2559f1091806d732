"""The scores of several experiments as one table on the screen."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dp_assets.evaluation.score import Score

Scored = Mapping[str, Sequence[Score]]

# Scores of a series, such as precision@10; those of a share of the rows (precision@1%) are none.
_SERIES = re.compile(r"(?P<name>.+@)(?P<k>\d+)")
_NOISE_OF = "nsc"
_LONGEST_LINE = 10_000


def print_scores(scored: Scored, console: Console) -> None:
    """Print scores x experiments with intervals and n; below it what was left out and what has no value.

    Parameters
    ----------
    scored : experiment -> its scores.
    """
    _print_whole(score_table(scored), console)
    if noise := _noise(scored):
        console.print(noise)
    _print_notes("left out", left_out(scored), console)
    _print_notes("not computed", not_computed(scored), console)


def score_table(scored: Scored) -> Table:
    """A row per score that has a value in some experiment, a column per experiment.

    A cell reads `value [low, high]`. The column n has one number where all experiments agree. Of a series
    (precision@5, precision@10, ...) the first and the last are shown.
    """
    table = Table("score", "n", *map(escape, scored), box=SIMPLE_HEAD, pad_edge=False)
    found = _by_name(scored)
    within = _within_series(found)
    for name, scores in found.items():
        present = [score for score in scores.values() if math.isfinite(score.value)]
        if present and name not in within:
            cells = (shown(scores[lane]) if lane in scores else "" for lane in scored)
            mark = "" if present[0].higher_is_better else " (low is good)"
            table.add_row(escape(name) + mark, _counts(scores), *cells)
    return table


def shown(score: Score) -> str:
    """The value with its confidence interval, as far as there is one."""
    if not math.isfinite(score.value):
        return "-"
    numbers = [score.value, score.low, score.high]
    bounded = all(math.isfinite(number) for number in numbers)
    digits = 3 if max(abs(number) for number in (numbers if bounded else numbers[:1])) < 10 else 1
    value, low, high = (f"{number:.{digits}f}" for number in numbers)
    # A bracket alone would be markup.
    return rf"{value} \[{low}, {high}]" if bounded else value


def left_out(scored: Scored) -> list[str]:
    """One line per score and set of exclusions: what was left out, and of which experiments."""
    return _grouped(
        scored,
        lambda score: ", ".join(f"{count} ({reason})" for reason, count in score.excluded.items() if count),
    )


def not_computed(scored: Scored) -> list[str]:
    """One line per score without a value: why."""
    return _grouped(scored, lambda score: "" if math.isfinite(score.value) else score.reason or "no value")


def _grouped(scored: Scored, text_of: Callable[[Score], str]) -> list[str]:
    """`names: text`, with the scores of one text together, and the experiments where they differ.

    Of a series only the ends, as in the table.
    """
    lines: dict[tuple[str, str], list[str]] = {}
    found = _by_name(scored)
    within = _within_series(found)
    for name, scores in found.items():
        if name in within:
            continue
        texts: dict[str, list[str]] = {}
        for lane, score in scores.items():
            if text := text_of(score):
                texts.setdefault(text, []).append(lane)
        for text, lanes in texts.items():
            where = "" if len(lanes) == len(scored) else f" [{', '.join(lanes)}]"
            lines.setdefault((text, where), []).append(name)
    return [f"{', '.join(names)}{where}: {text}" for (text, where), names in lines.items()]


def _by_name(scored: Scored) -> dict[str, dict[str, Score]]:
    """Score -> experiment -> score, in the order in which scores first come."""
    found: dict[str, dict[str, Score]] = {}
    for lane, scores in scored.items():
        for score in scores:
            found.setdefault(score.name, {})[lane] = score
    return found


def _counts(scores: Mapping[str, Score]) -> str:
    counts = list(dict.fromkeys(str(score.n) for score in scores.values() if math.isfinite(score.value)))
    return "/".join(counts)


def _print_whole(table: Table, console: Console) -> None:
    """Print a table on lines as long as it needs: numbers that are broken up cannot be read or copied."""
    needed = console.measure(table, options=console.options.update(max_width=_LONGEST_LINE)).maximum
    wide = Console(file=console.file, width=max(needed, console.width), force_terminal=console.is_terminal)
    wide.print(table)


def _within_series(names: Iterable[str]) -> set[str]:
    """The names of series but for the first and the last of each."""
    series: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        if found := _SERIES.fullmatch(name):
            series.setdefault(found["name"], []).append((int(found["k"]), name))
    return {name for members in series.values() for _, name in sorted(members)[1:-1]}


def _noise(scored: Scored) -> str:
    """How much one treatment counts, where treatments are few."""
    counts = {
        score.n for scores in scored.values() for score in scores if score.name == _NOISE_OF and score.n
    }
    if not counts:
        return ""
    n = min(counts)
    return f"One of {n} treatments is {1 / n:.3f} of {_NOISE_OF}: smaller differences are noise."


def _print_notes(title: str, lines: Sequence[str], console: Console) -> None:
    if lines:
        console.print(f"[yellow]{title}:[/yellow]")
    for line in lines:
        console.print(f"  {escape(line)}")
