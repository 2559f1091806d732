"""Scores as the rows of a report: numbers as text, and where their intervals lie on a bar."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Score = Mapping[str, Any]
# Cards at the top show the first four of these that have a value.
HEADLINES = ("nsc", "nscb", "map", "enrichment", "activity_fraction", "replicate_strength", "consistency")
MOST_CARDS = 4


@dataclass(frozen=True)
class Bar:
    """Positions on a bar of 0 to 100; None for what is not there."""

    value: float
    low: float | None
    high: float | None
    chance: float | None
    start: str
    end: str


@dataclass(frozen=True)
class ScoreRow:
    """One score as text. `bar` is None when there is no value."""

    name: str
    value: str
    interval: str
    n: str
    unit: str
    protocol: str
    chance: str
    excluded: tuple[tuple[str, str], ...]
    details: tuple[tuple[str, str], ...]
    reason: str
    better: str
    bar: Bar | None


def score_row(score: Score) -> ScoreRow:
    """The texts of one score; missing numbers may be None or NaN."""
    value, low, high, chance = (finite(score.get(key)) for key in ("value", "low", "high", "chance"))
    return ScoreRow(
        name=str(score["name"]),
        value="" if value is None else number_text(value),
        interval=interval_text(score),
        n=f"{int(score.get('n') or 0):,}",
        unit=str(score.get("unit") or ""),
        protocol=str(score.get("protocol") or ""),
        chance="" if chance is None else number_text(chance),
        excluded=tuple(
            (str(reason), f"{int(count):,}")
            for reason, count in (score.get("excluded") or {}).items()
            if count
        ),
        details=tuple(
            (str(name).replace("_", " "), number_text(known))
            for name, number in (score.get("details") or {}).items()
            if (known := finite(number)) is not None
        ),
        reason=str(score.get("reason") or "") or ("no value" if value is None else ""),
        better="" if score.get("higher_is_better", True) else "lower is better",
        bar=None if value is None else _bar(value, low, high, chance, counts="fraction" in _details(score)),
    )


def headlines(rows: Sequence[ScoreRow]) -> list[ScoreRow]:
    """The rows for the cards: well-known scores first, then any others with a value."""
    valued = [row for row in rows if row.bar is not None]
    known = sorted(
        (row for row in valued if row.name in HEADLINES), key=lambda row: HEADLINES.index(row.name)
    )
    return [*known, *(row for row in valued if row.name not in HEADLINES)][:MOST_CARDS]


def exclusions(rows: Sequence[ScoreRow]) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was left out: (names of scores, [(reason, count)]), scores of the same exclusions together."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for row in rows:
        if row.excluded:
            groups.setdefault(row.excluded, []).append(row.name)
    return [(", ".join(names), list(excluded)) for excluded, names in groups.items()]


def reasons(rows: Sequence[ScoreRow]) -> list[tuple[str, str]]:
    """Why scores have no value: (names of scores, reason), scores of the same reason together."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.bar is None:
            groups.setdefault(row.reason, []).append(row.name)
    return [(", ".join(names), reason) for reason, names in groups.items()]


def best_of(scores: Mapping[str, Score]) -> str | None:
    """The experiment whose score is certainly the best of several.

    That is one whose confidence interval overlaps that of no other experiment, where all experiments have an
    interval and the same number of units; None when there is no such experiment.

    Parameters
    ----------
    scores : experiment -> the score of one name.
    """
    intervals = {
        name: (low, high)
        for name, score in scores.items()
        if (low := finite(score.get("low"))) is not None and (high := finite(score.get("high"))) is not None
    }
    counts = {int(score.get("n") or 0) for score in scores.values()}
    if len(scores) < 2 or len(intervals) < len(scores) or len(counts) > 1:
        return None
    higher = bool(next(iter(scores.values())).get("higher_is_better", True))
    best = (max if higher else min)(scores, key=lambda name: float(scores[name]["value"]))
    low, high = intervals.pop(best)
    apart = all(low > other[1] if higher else high < other[0] for other in intervals.values())
    return best if apart else None


def interval_text(score: Score) -> str:
    """`low to high`; "" where there is no interval."""
    low, high = finite(score.get("low")), finite(score.get("high"))
    return "" if low is None or high is None else f"{number_text(low)} to {number_text(high)}"


def number_text(value: float) -> str:
    """Three decimals below 10, fewer above; whole numbers as such."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    if abs(value) < 1e-3:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def finite(value: Any) -> float | None:
    """The number, or None for what is none, NaN or infinite."""
    if value is None or not math.isfinite(value):
        return None
    return float(value)


def _details(score: Score) -> Mapping[str, Any]:
    return score.get("details") or {}


def _bar(value: float, low: float | None, high: float | None, chance: float | None, *, counts: bool) -> Bar:
    numbers = [number for number in (value, low, high, chance) if number is not None]
    start = min(0.0, *numbers)
    end = 1.0 if max(numbers) <= 1 and not counts else max(numbers) * 1.05
    span = (end - start) or 1.0

    def place(number: float) -> float:
        return round(100 * (number - start) / span, 2)

    return Bar(
        value=place(value),
        low=None if low is None else place(low),
        high=None if high is None else place(high),
        chance=None if chance is None else place(chance),
        start=number_text(start),
        end=number_text(end),
    )
