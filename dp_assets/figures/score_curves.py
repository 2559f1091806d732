"""Curves of retrieval scores, those of several experiments on one chart."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from dp_assets.figures.canvas import (
    QUIET,
    message_figure,
    new_figure,
    plain,
    set_title,
    tidy_axes,
    to_png,
)
from dp_assets.figures.legends import series_legend
from dp_assets.figures.series import series_colour, series_line

WIDTH, HEIGHT = 6.6, 3.6  # inches


def precision_recall_figure(
    curves: Mapping[str, pd.DataFrame],
    title: str = "Precision and recall",
    *,
    counts: Mapping[str, int] | None = None,
    chance: float | None = None,
) -> bytes:
    """Interpolated precision by recall.

    Parameters
    ----------
    curves : experiment -> table with columns `recall` and `precision`, both 0 to 1.
    counts : experiment -> how many queries its curve is the mean of, for the legend.
    chance : precision of a random order; a dotted line.
    """
    shown = _usable(curves, "recall", "precision")
    if not shown:
        return message_figure(title, "There are no curves of precision and recall.")
    figure = new_figure(WIDTH, HEIGHT)
    set_title(figure, title)
    axes = figure.add_subplot()
    _draw(axes, shown, counts)
    if chance is not None and np.isfinite(chance):
        _draw_chance(axes, chance)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, max(0.05, *(float(y.max()) for _, y in shown.values())) * 1.06)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision (interpolated)")
    tidy_axes(axes)
    series_legend(figure, axes)
    return to_png(figure)


def enrichment_figure(
    curves: Mapping[str, pd.DataFrame],
    title: str = "Enrichment",
    *,
    counts: Mapping[str, int] | None = None,
    marked: float | None = None,
) -> bytes:
    """Folds of enrichment by how many neighbours count as near.

    Parameters
    ----------
    curves : experiment -> table with columns `top_percent` (above 0) and `folds` (mean odds ratio).
    counts : experiment -> how many queries its curve is the mean of, for the legend.
    marked : the top percent that the score is taken at; a vertical line.

    Returns
    -------
    PNG bytes; both axes are logarithmic, chance (1) is a dotted line.
    """
    shown = {
        name: (x[keep], y[keep])
        for name, (x, y) in _usable(curves, "top_percent", "folds").items()
        if (keep := (x > 0) & (y > 0)).any()
    }
    if not shown:
        return message_figure(title, "There are no curves of enrichment.")
    figure = new_figure(WIDTH, HEIGHT)
    set_title(figure, title)
    axes = figure.add_subplot()
    _draw(axes, shown, counts, marker="o")
    axes.set_xscale("log")
    axes.set_yscale("log")
    _draw_chance(axes, 1.0)
    if marked is not None:
        axes.axvline(marked, color=QUIET, lw=0.9, ls="--", zorder=1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    steps = np.unique(np.concatenate([x for x, _ in shown.values()]))
    if len(steps) <= 12:
        axes.set_xticks(steps)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.set_xlabel("nearest neighbours (top %, log scale)")
    axes.set_ylabel("mean odds ratio (log scale)")
    tidy_axes(axes)
    series_legend(figure, axes)
    return to_png(figure)


def _usable(curves: Mapping[str, pd.DataFrame], x: str, y: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """x and y of every curve, sorted by x, without missing values."""
    usable = {}
    for name, curve in curves.items():
        known = curve[[x, y]].astype(float).dropna().sort_values(x, kind="stable")
        if len(known):
            usable[name] = (known[x].to_numpy(), known[y].to_numpy())
    return usable


def _draw(
    axes: Axes,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    counts: Mapping[str, int] | None,
    marker: str | None = None,
) -> None:
    for place, (name, (x, y)) in enumerate(curves.items()):
        count = f", n = {counts[name]}" if counts and name in counts else ""
        axes.plot(
            x,
            y,
            series_line(place),
            color=series_colour(place),
            lw=1.9,
            marker=marker,
            ms=4,
            label=plain(name) + count,
        )


def _draw_chance(axes: Axes, value: float) -> None:
    axes.axhline(value, color=QUIET, lw=1, ls=":", label="chance", zorder=1)
