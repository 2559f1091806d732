"""The illumination correction functions of a plate as maps."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter

from dp_assets.figures.canvas import INK, LABEL_SIZE, QUIET, SMALL_SIZE, new_figure, plain, set_title, to_png
from dp_assets.figures.false_colour import shrink

PANEL = 1.75  # inches
MOST_COLUMNS = 5
LEAST_WIDTH = 4.6
LONGEST_SIDE = 200
LEVELS = 24


def illumination_figure(functions: np.ndarray, channels: Sequence[str], plate: str) -> bytes:
    """Maps of the factors by which each channel's images are divided.

    Parameters
    ----------
    functions : (rows, cols, channels), factors of at least 1; full size or a thumbnail.
    channels : names, in order.
    plate : name of the plate.

    Returns
    -------
    PNG bytes. All maps share one colour scale: bright where the light was strongest.
    """
    small = shrink(np.asarray(functions, np.float32), LONGEST_SIDE)
    rows, cols, count = small.shape
    columns = min(count, MOST_COLUMNS)
    lines = -(-count // columns)
    aspect = rows / cols
    figure = new_figure(max(columns * PANEL + 0.9, LEAST_WIDTH), lines * (PANEL * aspect + 0.35) + 0.4)
    set_title(figure, f"{plate}: illumination correction functions")
    highest = max(float(small.max()), 1.01)
    levels = np.linspace(1, highest, LEVELS + 1)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, channel, i in zip(panels, channels, range(count), strict=False):
        drawn = axes.contourf(np.clip(small[..., i], 1, highest), levels=levels, cmap="cividis")
        axes.invert_yaxis()
        axes.set_aspect("equal")
        # With a height of their own: finding one that avoids ticks takes half the time of the figure.
        axes.set_title(
            plain(channel), fontsize=LABEL_SIZE, color=INK, loc="left", fontweight="bold", pad=4, y=1.0
        )
        axes.set_title(
            f"up to {small[..., i].max():.2f}\N{MULTIPLICATION SIGN}",
            fontsize=SMALL_SIZE,
            color=QUIET,
            loc="right",
            pad=4,
            y=1.0,
        )
    ticks = np.linspace(1, highest, 4)
    bar = figure.colorbar(
        drawn,
        ax=list(panels),
        shrink=0.9,
        pad=0.02,
        ticks=ticks,
        format=FuncFormatter(lambda value, _: f"{value:.2f}\N{MULTIPLICATION SIGN}"),
    )
    bar.ax.tick_params(labelsize=SMALL_SIZE, colors=QUIET, length=0)
    bar.outline.set_visible(False)
    return to_png(figure)
