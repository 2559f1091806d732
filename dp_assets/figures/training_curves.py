"""How a training went: loss and metrics by epoch, on the training and on the validation cells."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dp_assets.figures.canvas import (
    INK,
    LABEL_SIZE,
    QUIET,
    SERIES_COLOURS,
    SMALL_SIZE,
    message_figure,
    new_figure,
    plain,
    set_title,
    tidy_axes,
    to_png,
)

TITLE = "Training"
NOT_CURVES = ("epoch", "seconds", "learning_rate")
MOST_PANELS = 4
TRAINING, VALIDATION = SERIES_COLOURS[0], SERIES_COLOURS[1]


def training_curves(history: pd.DataFrame) -> bytes:
    """Loss and metrics by epoch.

    Parameters
    ----------
    history : one row per epoch: `epoch` (1-based), `loss`, metrics, the same with `val_` in front where there
        was a validation, optionally `learning_rate`. Epochs without validation hold NaN.

    Returns
    -------
    PNG bytes: a panel for the loss and for each of the first metrics; a ring marks the best validated epoch.
    """
    curves = [name for name in history.columns if name not in NOT_CURVES and not str(name).startswith("val_")]
    if history.empty or not curves:
        return message_figure(TITLE, "No epoch has been finished yet.")
    # The loss first, then metrics in the order of the table.
    shown = sorted(curves, key=lambda name: name != "loss")[:MOST_PANELS]
    figure = new_figure(max(3.3 * len(shown), 4.4), 2.9)
    last = int(history["epoch"].iloc[-1])
    set_title(figure, f"{TITLE}: {last} epoch{'s' if last != 1 else ''}")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, name in zip(panels, shown, strict=True):
        _draw_panel(axes, history, name)
    panels[0].legend(frameon=False, fontsize=SMALL_SIZE, labelcolor=INK, loc="best")
    return to_png(figure)


def _draw_panel(axes: Axes, history: pd.DataFrame, name: str) -> None:
    epochs = history["epoch"].to_numpy(float)
    marker = "o" if len(epochs) <= 40 else None
    _draw_curve(axes, epochs, history[name].to_numpy(float), "training", TRAINING, marker)
    caption = ""
    if f"val_{name}" in history:
        values = history[f"val_{name}"].to_numpy(float)
        _draw_curve(axes, epochs, values, "validation", VALIDATION, marker)
        if np.isfinite(values).any():
            best = int(np.nanargmin(values) if "loss" in name else np.nanargmax(values))
            axes.plot(epochs[best], values[best], "o", ms=9, mfc="none", mec=VALIDATION, mew=1.4)
            caption = f"best {values[best]:.3g} (epoch {epochs[best]:.0f})"
    axes.set_title(
        plain(name.replace("_", " ")), loc="left", fontsize=LABEL_SIZE, fontweight="bold", color=INK
    )
    axes.set_title(caption, loc="right", fontsize=SMALL_SIZE, color=QUIET)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    axes.margins(x=0.06, y=0.08)
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
    tidy_axes(axes)


def _draw_curve(
    axes: Axes, epochs: np.ndarray, values: np.ndarray, label: str, colour: str, marker: str | None
) -> None:
    finite = np.isfinite(values)
    style = "--" if label == "validation" else "-"
    axes.plot(epochs[finite], values[finite], style, color=colour, label=label, lw=1.8, marker=marker, ms=3.5)
