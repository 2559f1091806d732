"""Where cell centres lie: on an image, or beyond its border."""

import numpy as np
from matplotlib.patches import Rectangle

from dp_assets.figures.canvas import (
    INK,
    LABEL_SIZE,
    QUIET,
    RULE,
    SERIES_COLOURS,
    new_figure,
    set_title,
    tidy_axes,
    to_png,
)
from dp_assets.figures.false_colour import shrink, stretch

LONGEST_SIDE = 420
PANEL = 4.2  # inches
MOST_POINTS = 2000


def centres_on_image(image: np.ndarray, centres: np.ndarray, title: str) -> bytes:
    """An image in grey with the centres of its cells.

    Parameters
    ----------
    image : (rows, cols), any grey levels.
    centres : (cells, 2) row and column, pixels.
    title : plate, well, site and channel.

    Returns
    -------
    PNG bytes.
    """
    rows, cols = image.shape
    small = stretch(shrink(image[..., None], LONGEST_SIDE))[..., 0]
    figure = new_figure(PANEL, PANEL * rows / cols + 0.4)
    set_title(figure, title)
    axes = figure.add_subplot()
    axes.imshow(small, cmap="gray", vmin=0, vmax=1, extent=(-0.5, cols - 0.5, rows - 0.5, -0.5))
    axes.scatter(centres[:, 1], centres[:, 0], s=14, facecolors="none", edgecolors="#e69f00", linewidths=0.9)
    axes.set_axis_off()
    return to_png(figure, photographs=True)


def centres_outside(centres: np.ndarray, inside: np.ndarray, shape: tuple[int, int], title: str) -> bytes:
    """The centres of a plate's cells around the frame of one image.

    Parameters
    ----------
    centres : (cells, 2) row and column, pixels.
    inside : (cells,) bool; of those inside up to 2,000, evenly spread over the table, are drawn.
    shape : (rows, cols) of the images.
    title : plate, and what is shown.

    Returns
    -------
    PNG bytes.
    """
    rows, cols = shape
    figure = new_figure(PANEL + 0.6, PANEL)
    set_title(figure, title)
    axes = figure.add_subplot()
    for chosen, colour, label in ((inside, RULE, "inside"), (~inside, SERIES_COLOURS[1], "outside")):
        shown = centres[chosen]
        shown = shown[:: max(1, -(-len(shown) // MOST_POINTS))]
        axes.scatter(shown[:, 1], shown[:, 0], s=9, color=colour, label=f"{label} ({int(chosen.sum())})")
    axes.add_patch(Rectangle((-0.5, -0.5), cols, rows, fill=False, ec=INK, lw=1.2))
    axes.set_aspect("equal", adjustable="datalim")
    axes.invert_yaxis()
    tidy_axes(axes, grid=False)
    axes.set_xlabel("column, pixels")
    axes.set_ylabel("row, pixels")
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=LABEL_SIZE, labelcolor=QUIET
    )
    return to_png(figure)
