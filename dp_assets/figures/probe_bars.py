"""Which classes a classifier of profiles finds again."""

import numpy as np
import pandas as pd

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
from dp_assets.figures.legends import series_legend
from dp_assets.figures.series import series_colour

MOST_CLASSES = 40
LINE = 0.22  # inches
RECALL = "recall_"
MARKS = ("o", "s", "^", "D")


def probe_bars(classes: pd.DataFrame, title: str = "Recall of label probes") -> bytes:
    """Recall of every class by every classifier.

    Parameters
    ----------
    classes : one row per class: `class`, `wells` (how many) and `recall_<classifier>` columns, 0 to 1.

    Returns
    -------
    PNG bytes; classes come in the order of their mean recall, the 40 with the most wells. The dotted line is
    one over the number of classes.
    """
    methods = [str(name) for name in classes.columns if str(name).startswith(RECALL)]
    if classes.empty or not methods:
        return message_figure(title, "No class was learned.")
    shown = classes.sort_values("wells", ascending=False, kind="stable").head(MOST_CLASSES)
    mean = shown[methods].astype(float).mean(axis=1)
    shown = shown.loc[mean.sort_values(ascending=False, kind="stable").index]
    figure = new_figure(6.8, LINE * len(shown) + 1.1)
    of = f"{len(shown)} of {len(classes)}" if len(shown) < len(classes) else f"{len(shown)}"
    set_title(figure, f"{title}, {of} classes, {int(classes['wells'].sum())} wells")
    axes = figure.add_subplot()
    rows = np.arange(len(shown))
    for place, method in enumerate(methods):
        axes.plot(
            shown[method].astype(float),
            rows,
            MARKS[place % len(MARKS)],
            color=series_colour(place),
            ms=6,
            alpha=0.9,
            label=plain(method.removeprefix(RECALL)),
        )
    axes.axvline(1 / len(classes), color=QUIET, lw=1, ls=":", label="chance")
    axes.set_yticks(
        rows,
        [
            f"{plain(str(name), 28)} ({count})"
            for name, count in zip(shown["class"], shown["wells"], strict=True)
        ],
    )
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(-0.03, 1.03)
    axes.set_xlabel("recall")
    tidy_axes(axes, grid=False)
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=SMALL_SIZE)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    series_legend(figure, axes)
    return to_png(figure)
