"""Crops side by side, a row for each treatment."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch

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
from dp_assets.figures.false_colour import channel_colours, composite, shrink, stretch

MOST_ROWS, MOST_CELLS = 12, 8
LONGEST_SIDE = 72
CELL = 0.6  # inches
MARGIN_LEFT, MARGIN_ABOVE, MARGIN_BELOW, LEAST_WIDTH = 1.5, 0.4, 0.4, 3.0  # inches
TITLE = "Single cells"


def crop_sheet(
    crops: np.ndarray, labels: Sequence[str], channels: Sequence[str], title: str = TITLE
) -> bytes:
    """False-colour crops, one row a treatment.

    Parameters
    ----------
    crops : (cells, rows, cols, channels), any range; channels are stretched over all crops alike, so
        brightness can be compared between cells.
    labels : treatment of each crop; rows come in the order of first appearance.
    channels : names, in order.

    Returns
    -------
    PNG bytes. The first eight crops of at most twelve treatments are shown.
    """
    if len(crops) == 0:
        return message_figure(title, "There are no cells to show.")
    treatments = list(dict.fromkeys(labels))
    shown = treatments[:MOST_ROWS]
    chosen = [[i for i, label in enumerate(labels) if label == name][:MOST_CELLS] for name in shown]
    picked = np.stack([shrink(crops[i], LONGEST_SIDE) for indices in chosen for i in indices])
    pictures = iter(composite(stretch(picked)))
    return _draw(
        {name: [next(pictures) for _ in indices] for name, indices in zip(shown, chosen, strict=True)},
        len(treatments) - len(shown),
        channels,
        title,
    )


def _draw(pictures: dict[str, list[np.ndarray]], left_out: int, channels: Sequence[str], title: str) -> bytes:
    columns = max(len(row) for row in pictures.values())
    width = MARGIN_LEFT + max(columns * CELL, LEAST_WIDTH)
    height = MARGIN_ABOVE + len(pictures) * CELL + MARGIN_BELOW
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    set_title(figure, title)
    for i, (name, row) in enumerate(pictures.items()):
        bottom = height - MARGIN_ABOVE - (i + 1) * CELL
        figure.text(
            (MARGIN_LEFT - 0.1) / width,
            (bottom + CELL / 2) / height,
            plain(name, 20),
            ha="right",
            va="center",
            fontsize=LABEL_SIZE,
            color=INK,
        )
        for j, picture in enumerate(row):
            axes = _cell_axes(figure, MARGIN_LEFT + j * CELL, bottom)
            axes.imshow(picture)
    _name_channels(figure, channels, left_out, width, height)
    return to_png(figure, photographs=True)


def _cell_axes(figure: Figure, left: float, bottom: float) -> Axes:
    """Axes of one cell at a position given in inches; a thin gap lies between neighbours."""
    width, height = figure.get_size_inches()
    side = CELL * 0.96
    axes: Axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    axes.set_axis_off()
    return axes


def _name_channels(
    figure: Figure, channels: Sequence[str], left_out: int, width: float, height: float
) -> None:
    handles = [
        Patch(color=to_hex(colour) if len(channels) > 1 else QUIET, label=plain(channel))
        for channel, colour in zip(channels, channel_colours(len(channels)), strict=True)
    ]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(MARGIN_LEFT / width, (MARGIN_BELOW - 0.08) / height),
        ncols=4,
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        handlelength=0.9,
        handleheight=0.9,
        columnspacing=1.2,
        fontsize=SMALL_SIZE,
        labelcolor=QUIET,
    )
    if left_out:
        more = f"and {left_out} more treatments"
        figure.text(0.01, (MARGIN_BELOW - 0.1) / height, more, va="top", fontsize=SMALL_SIZE, color=QUIET)
