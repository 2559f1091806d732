"""How many treatments find a match among their very nearest neighbours, level by level."""

from collections.abc import Mapping

from dp_assets.figures.canvas import (
    INK,
    RULE,
    SMALL_SIZE,
    message_figure,
    new_figure,
    plain,
    set_title,
    tidy_axes,
    to_png,
)
from dp_assets.figures.legends import series_legend
from dp_assets.figures.series import series_colour

BAR = 0.26  # inches
LEVEL_GAP = 0.6  # bars


def first_hit_bars(
    hits: Mapping[str, Mapping[str, tuple[int, int]]], title: str = "First hit in the top 1 %"
) -> bytes:
    """Shares of treatments with a hit, grouped by level.

    Parameters
    ----------
    hits : experiment -> level ("treatment", "well", "site", "cell") -> (treatments with a hit, treatments).

    Returns
    -------
    PNG bytes; bars are per cent, the counts are written beside them.
    """
    levels = list(dict.fromkeys(level for counts in hits.values() for level in counts))
    shown = {
        level: [
            (place, *counts[level])
            for place, counts in enumerate(hits.values())
            if counts.get(level, (0, 0))[1]
        ]
        for level in levels
    }
    bars = sum(len(rows) for rows in shown.values())
    if not bars:
        return message_figure(title, "First hits were not computed.")
    figure = new_figure(6.6, BAR * (bars + LEVEL_GAP * len(levels)) + 1.0)
    set_title(figure, title)
    axes = figure.add_subplot()
    ticks, top = [], 0.0
    named: set[int] = set()
    for rows in shown.values():
        ticks.append(top + (len(rows) - 1) / 2)
        for place, count, total in rows:
            label = None if place in named else plain(list(hits)[place])
            named.add(place)
            axes.barh(top, 100 * count / total, height=0.78, color=series_colour(place), label=label)
            axes.text(
                100 * count / total, top, f"  {count} of {total}", va="center", fontsize=SMALL_SIZE, color=INK
            )
            top += 1
        top += LEVEL_GAP
    axes.set_yticks(ticks, [plain(level) for level in levels])
    axes.set_ylim(top - LEVEL_GAP - 0.4, -0.6)
    axes.set_xlim(0, max(5.0, *(100 * n / total for rows in shown.values() for _, n, total in rows)) * 1.2)
    axes.set_xlabel("treatments with a hit (%)")
    tidy_axes(axes, grid=False)
    axes.grid(axis="x", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    if len(hits) > 1:
        series_legend(figure, axes)
    return to_png(figure)
