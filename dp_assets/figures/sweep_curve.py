"""Which lambda the scores would choose, and what it is worth on labels that had no say."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from dp_assets.figures.canvas import (
    INK,
    SERIES_COLOURS,
    message_figure,
    new_figure,
    plain,
    set_title,
    tidy_axes,
    to_png,
)
from dp_assets.figures.legends import series_legend

ALL = "all"
TITLE = "Score by regularization"


def sweep_curve(trials: pd.DataFrame, configured: float | None = None, title: str = TITLE) -> bytes:
    """The score of every lambda on all labels and on halves of them.

    Parameters
    ----------
    trials : one row per lambda and set of labels: `regularization` (lambda), `score` (its name), `half`
        ("all" or the name of one of two halves), `split` (which halving), `value` (NaN where there is none),
        `n` and `chosen` (bool, the best lambda of this set of labels).
    configured : the lambda that the experiment uses; a dashed line.

    Returns
    -------
    PNG bytes: the line is of all labels with a ring at its best; the band spans the halves; crosses are the
    scores of halves with the lambda that the other half chose.
    """
    known = trials.dropna(subset=["value"])
    if known.empty:
        return message_figure(title, "No lambda has a score.")
    name = plain(str(known["score"].iloc[0]))
    on_all = known[known["half"] == ALL].sort_values("regularization")
    halves = known[known["half"] != ALL]
    n = f", n = {int(on_all['n'].max())}" if len(on_all) else ""
    figure = new_figure(6.6, 3.4)
    set_title(figure, f"{title}: {name}{n}")
    axes = figure.add_subplot()
    if len(halves):
        _draw_halves(axes, halves)
    if len(on_all):
        axes.plot(
            on_all["regularization"],
            on_all["value"],
            "-o",
            color=SERIES_COLOURS[0],
            lw=1.9,
            ms=4,
            label="all labels",
        )
        best = on_all[on_all["chosen"].astype(bool)]
        axes.plot(
            best["regularization"],
            best["value"],
            "o",
            ms=11,
            mfc="none",
            mec=SERIES_COLOURS[0],
            mew=1.5,
            label="best on all labels",
        )
    if configured is not None:
        axes.axvline(configured, color=INK, lw=1, ls="--", label=f"configured ({configured:g})")
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    steps = sorted(known["regularization"].unique())
    if len(steps) <= 10:
        axes.set_xticks(steps, [f"{step:g}" for step in steps])
    axes.margins(y=0.12)
    axes.set_xlabel("lambda (log scale)")
    axes.set_ylabel(name)
    tidy_axes(axes)
    series_legend(figure, axes)
    return to_png(figure)


def _draw_halves(axes: Axes, halves: pd.DataFrame) -> None:
    ranges = halves.groupby("regularization")["value"].agg(["min", "mean", "max"])
    axes.fill_between(
        ranges.index,
        ranges["min"],
        ranges["max"],
        color=SERIES_COLOURS[4],
        alpha=0.25,
        lw=0,
        label="range of halves",
    )
    axes.plot(ranges.index, ranges["mean"], "--", color=SERIES_COLOURS[4], lw=1.5, label="mean of halves")
    honest = judged_by_the_other(halves)
    if len(honest):
        # Many halves choose the same lambda: crosses are set a little apart.
        apart = 10 ** (np.random.default_rng(0).uniform(-0.06, 0.06, len(honest)))
        axes.plot(
            honest["regularization"] * apart,
            honest["value"],
            "x",
            color=SERIES_COLOURS[1],
            ms=6,
            mew=1.4,
            label=f"chosen by the other half\n(n = {len(honest)})",
        )


def judged_by_the_other(halves: pd.DataFrame) -> pd.DataFrame:
    """Rows of `halves` whose lambda is the one that the other half of the same split chose."""
    choices = halves[halves["chosen"].astype(bool)][["split", "half", "regularization"]]
    joined = halves.merge(choices, on=["split", "regularization"], suffixes=("", "_that_chose"))
    return joined[joined["half"] != joined["half_that_chose"]].drop(columns="half_that_chose")
