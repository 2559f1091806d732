"""Two scores of several experiments against each other."""

import math
from collections.abc import Mapping

from dp_assets.figures.canvas import message_figure, new_figure, plain, set_title, tidy_axes, to_png
from dp_assets.figures.legends import series_legend
from dp_assets.figures.series import series_colour

Interval = tuple[float, float, float]
MARKS = ("o", "s", "^")


def score_scatter(
    across: Mapping[str, Interval], up: Mapping[str, Interval], names: tuple[str, str], title: str = ""
) -> bytes:
    """One point per experiment, with the confidence intervals of both scores.

    Parameters
    ----------
    across, up : experiment -> (value, low, high); NaN bounds where there is no interval. Experiments that
        lack one of the values are left out.
    names : of the two scores, for the axes.
    """
    title = title or f"{names[1]} against {names[0]}"
    shown = [
        name
        for name in across
        if name in up and math.isfinite(across[name][0]) and math.isfinite(up[name][0])
    ]
    if not shown:
        return message_figure(title, "No experiment has both scores.")
    figure = new_figure(6.0, 3.5)
    set_title(figure, f"{title}, n = {len(shown)} experiment{'s' if len(shown) > 1 else ''}")
    axes = figure.add_subplot()
    for place, name in enumerate(shown):
        axes.errorbar(
            across[name][0],
            up[name][0],
            xerr=_bars(across[name]),
            yerr=_bars(up[name]),
            fmt=MARKS[place // 8 % len(MARKS)],
            color=series_colour(place),
            ms=7,
            elinewidth=1,
            label=plain(name),
        )
    axes.set_xlabel(plain(names[0]))
    axes.set_ylabel(plain(names[1]))
    axes.margins(0.12)
    tidy_axes(axes)
    series_legend(figure, axes)
    return to_png(figure)


def _bars(interval: Interval) -> list[list[float]] | None:
    value, low, high = interval
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return [[max(0.0, value - low)], [max(0.0, high - value)]]
