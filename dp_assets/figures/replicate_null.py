"""Do replicates of a treatment agree more than wells picked at random?"""

import numpy as np
from matplotlib.axes import Axes

from dp_assets.figures.canvas import (
    INK,
    QUIET,
    SERIES_COLOURS,
    SMALL_SIZE,
    message_figure,
    new_figure,
    set_title,
    tidy_axes,
    to_png,
)

MOST_BINS = 40
TITLE = "Agreement of replicates"
NULL_COLOUR = "#b3bcc5"


def replicate_null_figure(
    correlations: np.ndarray,
    null: np.ndarray,
    threshold: float,
    title: str = TITLE,
    *,
    unit: str = "treatments",
    axis: str = "median correlation of replicates",
) -> bytes:
    """Histograms of replicate correlations and of their null distribution.

    Parameters
    ----------
    correlations : (treatments,), the median correlation among the wells of each; NaN is left out.
    null : (draws,), the same of wells drawn at random.
    threshold : what counts as agreement; a vertical line.
    unit : what has a correlation, for the legend.
    axis : what a correlation is of.
    """
    found = np.asarray(correlations, float)
    drawn = np.asarray(null, float)
    found, drawn = found[np.isfinite(found)], drawn[np.isfinite(drawn)]
    if not len(found):
        return message_figure(title, f"There are no {unit} with replicates.")
    figure = new_figure(6.6, 3.3)
    above = int((found > threshold).sum())
    share = f": {above} of {len(found)} {unit} above the threshold" if np.isfinite(threshold) else ""
    set_title(figure, title + share)
    axes = figure.add_subplot()
    everything = np.concatenate([found, drawn])
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 0.01, _bins(len(found)) + 1)
    if len(drawn):
        _histogram(axes, drawn, edges, NULL_COLOUR, f"random wells (n = {len(drawn)} draws)")
    _histogram(axes, found, edges, SERIES_COLOURS[0], f"{unit} (n = {len(found)})")
    if np.isfinite(threshold):
        axes.axvline(threshold, color=INK, lw=1.2, ls="--", label=f"threshold {threshold:.3g}")
    axes.set_xlabel(axis)
    axes.set_ylabel("share of each (%)")
    tidy_axes(axes)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=3,
        frameon=False,
        borderpad=0,
        columnspacing=1.4,
        fontsize=SMALL_SIZE,
        labelcolor=QUIET,
    )
    return to_png(figure)


def _bins(count: int) -> int:
    return int(np.clip(2 * np.sqrt(count), 10, MOST_BINS))


def _histogram(axes: Axes, values: np.ndarray, edges: np.ndarray, colour: str, label: str) -> None:
    axes.hist(
        values,
        edges.tolist(),
        weights=np.full(len(values), 100 / len(values)),
        color=colour,
        alpha=0.75,
        label=label,
    )
