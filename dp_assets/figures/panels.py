"""Panels of one size in a grid, whatever legends stand beside them."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dp_assets.figures.canvas import new_figure, set_title

TITLE_HEIGHT, EDGE = 0.36, 0.3  # inches


def panel_grid(
    title: str,
    count: int,
    columns: int,
    size: tuple[float, float],
    *,
    right: float = 0.12,
    above: float = 0.3,
) -> tuple[Figure, list[Axes]]:
    """A figure with a title and `count` panels, row by row.

    Parameters
    ----------
    size : (width, height) of a panel in inches.
    right, above : room for the legend and the heading of each panel, in inches.
    """
    lines = -(-count // columns)
    width = EDGE + columns * (size[0] + right)
    height = TITLE_HEIGHT + lines * (size[1] + above) + EDGE
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    set_title(figure, title)
    axes = []
    for i in range(count):
        left = EDGE + (i % columns) * (size[0] + right)
        bottom = height - TITLE_HEIGHT - (i // columns + 1) * (size[1] + above)
        axes.append(figure.add_axes((left / width, bottom / height, size[0] / width, size[1] / height)))
    return figure, axes
