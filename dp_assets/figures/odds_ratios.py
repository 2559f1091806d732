"""The enrichment of every query, experiment by experiment."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from dp_assets.figures.canvas import (
    INK,
    QUIET,
    RICH_BYTES,
    message_figure,
    new_figure,
    plain,
    set_title,
    tidy_axes,
    to_png,
)
from dp_assets.figures.series import series_colour

BINS = 50
WIDEST_SWARM = 0.38  # of the distance between experiments
MOST_POINTS = 600  # a seeded sample of larger sets is drawn
ROW = 0.95  # inches


def odds_ratio_figure(ratios: Mapping[str, np.ndarray], title: str = "Enrichment of every query") -> bytes:
    """Box and swarm of log(1 + odds ratio).

    Parameters
    ----------
    ratios : experiment -> (queries,) odds ratios, 0 and up; others are left out.

    Returns
    -------
    PNG bytes: boxes are quartiles with whiskers to 1.5 times their distance, a diamond is the mean. Of more
    than 600 queries as many are drawn as points, the boxes are of all.
    """
    shown = {}
    for name, values in ratios.items():
        known = np.asarray(values, float)
        known = known[np.isfinite(known) & (known >= 0)]
        if len(known):
            shown[name] = np.log1p(known)
    if not shown:
        return message_figure(title, "No query has an odds ratio.")
    figure = new_figure(6.6, ROW * len(shown) + 1.1)
    set_title(figure, title)
    axes = figure.add_subplot()
    for place, values in enumerate(shown.values()):
        _draw_swarm(axes, values, place)
    axes.boxplot(
        list(shown.values()),
        positions=list(range(len(shown))),
        orientation="horizontal",
        widths=0.3,
        showfliers=False,
        showmeans=True,
        boxprops={"color": INK},
        whiskerprops={"color": INK},
        capprops={"color": INK},
        medianprops={"color": INK, "linewidth": 2},
        meanprops={"marker": "D", "markerfacecolor": INK, "markeredgecolor": "white", "markersize": 5},
    )
    axes.set_yticks(
        range(len(shown)), [f"{plain(name, 24)}\nn = {len(values)}" for name, values in shown.items()]
    )
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.axvline(np.log(2), color=QUIET, lw=1, ls=":", zorder=1)
    axes.set_xlabel("log(1 + odds ratio);  dotted: odds ratio 1")
    tidy_axes(axes, grid=False)
    return to_png(figure, limit=RICH_BYTES)


def _draw_swarm(axes: Axes, values: np.ndarray, place: int) -> None:
    if len(values) > MOST_POINTS:
        values = np.random.default_rng(0).choice(values, MOST_POINTS, replace=False)
    axes.scatter(
        values,
        place + _swarm(values),
        s=9,
        color=series_colour(place),
        alpha=0.5,
        linewidths=0,
        zorder=2,
    )


def _swarm(values: np.ndarray) -> np.ndarray:
    """(points,) offsets: points of nearly equal value lie side by side, as wide as there are many of them."""
    span = float(np.ptp(values)) or 1.0
    bins = np.minimum(((values - values.min()) / span * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins)
    # Queries without any match pile up at 0: that bin must not squeeze all others.
    step = WIDEST_SWARM / max(float(np.quantile(counts[counts > 0], 0.9)) / 2, 4)
    offsets = np.zeros(len(values))
    for one in np.flatnonzero(counts):
        members = np.flatnonzero(bins == one)
        reach = min(step * (len(members) - 1) / 2, WIDEST_SWARM)
        offsets[members] = np.linspace(-reach, reach, len(members))
    return offsets
