"""Scores with their confidence intervals and what chance would give."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dp_assets.figures.canvas import (
    INK,
    QUIET,
    RULE,
    SMALL_SIZE,
    message_figure,
    new_figure,
    plain,
    set_title,
    tidy_axes,
    to_png,
)
from dp_assets.figures.series import series_colour

MOST_SHARES, MOST_OTHERS = 24, 10
LINE, GAP = 0.3, 0.42  # inches of one score, and between scores that have an axis of their own
NAMES, AXIS, NUMBERS = 2.5, 3.7, 1.7  # inches
Scores = Mapping[str, Sequence[Mapping[str, Any]]]


def score_bars(scores: Scores, title: str = "Scores") -> bytes:
    """Points with intervals, one line per score.

    Parameters
    ----------
    scores : experiment -> scores, each with `name`, `value`, `low`, `high`, `n` and `chance` (None or NaN
        where there is none). Scores without a value are left out.

    Returns
    -------
    PNG bytes: scores between -1 and 1 share an axis, each of the others has its own. A grey tick is chance.
    With one experiment the numbers are written beside the points.
    """
    by_name: dict[str, dict[str, Mapping[str, Any]]] = {}
    for experiment, found in scores.items():
        for score in found:
            if _number(score, "value") is not None:
                by_name.setdefault(str(score["name"]), {})[experiment] = score
    shares = [name for name in by_name if all(_is_share(score) for score in by_name[name].values())]
    others = [name for name in by_name if name not in shares][:MOST_OTHERS]
    shares = shares[:MOST_SHARES]
    if not by_name:
        return message_figure(title, "No score has a value.")
    figure, axes_of = _axes(title, shares, others, len(by_name), list(scores))
    for axes, names in axes_of:
        for row, name in enumerate(names):
            _draw_score(axes, row, by_name[name], list(scores))
        _finish(axes, names, by_name, shared=names is shares)
        axes.set_ylim(len(names) - 0.5, -0.5)
    _draw_legend(figure, list(scores))
    return to_png(figure)


def _number(score: Mapping[str, Any], key: str) -> float | None:
    value = score.get(key)
    return None if value is None or not math.isfinite(value) else float(value)


def _is_share(score: Mapping[str, Any]) -> bool:
    numbers = [number for key in ("value", "low", "high") if (number := _number(score, key)) is not None]
    # A count of 0 or 1 is no share; counts have a fraction among their details.
    return all(-1 <= number <= 1 for number in numbers) and "fraction" not in (score.get("details") or {})


def _line_height(experiments: int) -> float:
    return max(LINE, 0.14 * experiments + 0.12)


def _axes(
    title: str, shares: list[str], others: list[str], total: int, experiments: list[str]
) -> tuple[Figure, list[tuple[Axes, list[str]]]]:
    """Axes for the shares together and for every other score alone, placed in inches."""
    groups = ([shares] if shares else []) + [[name] for name in others]
    line = _line_height(len(experiments))
    heights = [line * len(group) for group in groups]
    width = NAMES + AXIS + NUMBERS
    height = 0.5 + sum(heights) + GAP * len(groups) + 0.2 * (len(experiments) > 1)
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    drawn = len(shares) + len(others)
    set_title(figure, title + (f", {drawn} of {total}" if drawn < total else ""))
    top = height - 0.5
    axes_of = []
    for group, tall in zip(groups, heights, strict=True):
        axes_of.append(
            (figure.add_axes((NAMES / width, (top - tall) / height, AXIS / width, tall / height)), group)
        )
        top -= tall + GAP
    return figure, axes_of


def _draw_score(
    axes: Axes, row: int, found: Mapping[str, Mapping[str, Any]], experiments: Sequence[str]
) -> None:
    step = 0.76 / len(experiments)
    for place, experiment in enumerate(experiments):
        if experiment not in found:
            continue
        score = found[experiment]
        height = row + (place - (len(experiments) - 1) / 2) * step
        value = float(score["value"])
        low, high = _number(score, "low"), _number(score, "high")
        if low is not None and high is not None:
            axes.plot([low, high], [height, height], "-", color=series_colour(place), lw=2.4, alpha=0.45)
        axes.plot([value], [height], "o", color=series_colour(place), ms=6, zorder=3)
        chance = _number(score, "chance")
        if chance is not None:
            axes.plot([chance] * 2, [height - 0.4 * step, height + 0.4 * step], color=QUIET, lw=1.4, zorder=2)
        if len(experiments) == 1:
            axes.annotate(
                _written(value, low, high),
                (1.0, row),
                xycoords=("axes fraction", "data"),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                fontsize=SMALL_SIZE,
                color=INK,
                annotation_clip=False,
            )


def _written(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{value:.3g}"
    return f"{value:.3g}  [{low:.3g}, {high:.3g}]"


def _finish(
    axes: Axes, names: Sequence[str], by_name: Mapping[str, Mapping[str, Mapping[str, Any]]], *, shared: bool
) -> None:
    labels = []
    for name in names:
        counts = sorted({int(score.get("n") or 0) for score in by_name[name].values()})
        n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}\N{EN DASH}{counts[-1]}"
        labels.append(f"{plain(name.replace('_', ' '), 26)} (n = {n})")
    axes.set_yticks(range(len(names)), labels)
    numbers = [
        number
        for name in names
        for score in by_name[name].values()
        for key in ("value", "low", "high", "chance")
        if (number := _number(score, key)) is not None
    ]
    if shared:
        axes.set_xlim(min(0.0, *(numbers)) - 0.02, 1.02)
    else:
        span = max(numbers) - min(0.0, *numbers) or 1.0
        axes.set_xlim(min(0.0, *numbers) - 0.02 * span, max(numbers) + 0.05 * span)
    tidy_axes(axes, grid=False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=SMALL_SIZE)
    axes.grid(axis="x", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)


def _draw_legend(figure: Figure, experiments: Sequence[str]) -> None:
    handles = []
    for place, experiment in enumerate(experiments):
        handles.append(
            figure.axes[0].plot([], [], "o", color=series_colour(place), label=plain(experiment))[0]
        )
    handles.append(figure.axes[0].plot([], [], "|", color=QUIET, ms=8, mew=1.4, label="chance")[0])
    figure.axes[0].legend(
        handles=handles if len(experiments) > 1 else handles[-1:],
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=4,
        frameon=False,
        borderpad=0,
        columnspacing=1.2,
        fontsize=SMALL_SIZE,
        labelcolor=INK,
    )
