"""Which labels are taken for which."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from dp_assets.figures.canvas import (
    INK,
    LABEL_SIZE,
    QUIET,
    SMALL_SIZE,
    message_figure,
    new_figure,
    plain,
    set_title,
    to_png,
)

COLOURS = "Blues"
MOST_WRITTEN = 26  # larger matrices carry no numbers
MOST_NAMED = 70  # and still larger ones no names
LONGEST_NAME = 26
CELL, LEAST, MOST = 0.34, 1.6, 6.6  # inches


def confusion_figure(counts: pd.DataFrame, title: str = "True and predicted labels") -> bytes:
    """True labels by row, predicted labels by column.

    Parameters
    ----------
    counts : index: true labels; columns: predicted labels. Counts, or shares of the true label when no row
        adds up to more than 1; NaN is 0.

    Returns
    -------
    PNG bytes: colours are shares of the true label, the numbers are as given; correct ones are framed.
    """
    values = np.nan_to_num(counts.to_numpy(float))
    if not values.size or not values.any():
        return message_figure(title, "Nothing was predicted.")
    is_share = bool((values.sum(axis=1) <= 1 + 1e-6).all() and (values % 1).any())
    totals = values.sum(axis=1, keepdims=True)
    shares = np.divide(values, totals, out=np.zeros_like(values), where=totals > 0)
    rows, columns = values.shape
    width, height = (float(np.clip(CELL * count, LEAST, MOST)) for count in (columns, rows))
    figure = new_figure(width + 2.6, height + 2.2)
    correct = values[np.equal.outer(counts.index.to_numpy(object), counts.columns.to_numpy(object))].sum()
    total = "" if is_share else f": {correct:.0f} of {values.sum():.0f} correct"
    set_title(figure, title + total)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap=COLOURS, vmin=0, vmax=1, interpolation="nearest")
    _name_axes(axes, [str(name) for name in counts.index], [str(name) for name in counts.columns])
    if max(rows, columns) <= MOST_WRITTEN:
        _write(axes, values, shares, is_share)
        _frame_correct(axes, list(counts.index), list(counts.columns))
    return to_png(figure)


def _name_axes(axes: Axes, true: list[str], predicted: list[str]) -> None:
    if max(len(true), len(predicted)) <= MOST_NAMED:
        axes.set_xticks(
            range(len(predicted)),
            [plain(name, LONGEST_NAME) for name in predicted],
            rotation=45,
            ha="right",
            rotation_mode="anchor",
        )
        axes.set_yticks(range(len(true)), [plain(name, LONGEST_NAME) for name in true])
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    small = max(len(true), len(predicted)) > MOST_WRITTEN
    axes.tick_params(length=0, labelsize=SMALL_SIZE - 2 * small, labelcolor=INK)
    axes.set_xlabel("predicted", fontsize=LABEL_SIZE, color=QUIET)
    axes.set_ylabel("true", fontsize=LABEL_SIZE, color=QUIET)
    axes.spines[:].set_visible(False)


def _write(axes: Axes, values: np.ndarray, shares: np.ndarray, is_share: bool) -> None:
    for row, col in np.argwhere(values > 0):
        value = values[row, col]
        text = f"{100 * value:.0f}" if is_share else f"{value:.0f}"
        axes.text(
            col,
            row,
            text,
            ha="center",
            va="center",
            fontsize=SMALL_SIZE,
            color="white" if shares[row, col] > 0.55 else INK,
        )


def _frame_correct(axes: Axes, true: list[str], predicted: list[str]) -> None:
    for row, name in enumerate(true):
        if name in predicted:
            col = predicted.index(name)
            axes.add_patch(Rectangle((col - 0.5, row - 0.5), 1, 1, fill=False, ec=QUIET, lw=0.6))
