"""How well the channels of a plate fit the channels they are named after."""

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle

from dp_assets.figures.canvas import (
    INK,
    LABEL_SIZE,
    QUIET,
    SMALL_SIZE,
    new_figure,
    plain,
    set_title,
    to_png,
)

COLOURS = "Blues_r"
CELL, MARGIN = 0.55, 1.9  # inches
LONGEST_NAME = 16


def channel_fit(misfit: np.ndarray, channels: Sequence[str], title: str, reference: str) -> bytes:
    """A matrix of deviations; a channel in its place has the darkest cell of its row on the diagonal.

    Parameters
    ----------
    misfit : (channels, channels), deviation of the images listed under the name of the row from what those of
        the column usually look like.
    channels : names, in order.
    title : what was compared.
    reference : what the columns are, such as "earlier plates".

    Returns
    -------
    PNG bytes.
    """
    side = max(len(channels) * CELL, 1.2)
    figure = new_figure(max(side + MARGIN, 4.6), side + 1.4)
    set_title(figure, title)
    axes = figure.add_subplot()
    highest = max(float(misfit.max()), 1e-6)
    axes.imshow(misfit, cmap=COLOURS, vmin=0, vmax=highest, interpolation="nearest")
    for (row, column), value in np.ndenumerate(misfit):
        colour = "white" if value < 0.45 * highest else INK
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=SMALL_SIZE, color=colour)
        if row == column:
            frame = Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, ec="#d55e00", lw=1.6)
            axes.add_patch(frame)
    names = [plain(name, LONGEST_NAME) for name in channels]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0, labelsize=SMALL_SIZE, labelcolor=INK)
    axes.set_xlabel(f"look of this channel on {reference}", fontsize=LABEL_SIZE, color=QUIET)
    axes.set_ylabel("images named", fontsize=LABEL_SIZE, color=QUIET)
    axes.spines[:].set_visible(False)
    return to_png(figure)
