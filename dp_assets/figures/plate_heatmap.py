"""One number per well, drawn on the plate."""

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle

from dp_assets.figures.canvas import (
    INK,
    LABEL_SIZE,
    QUIET,
    RULE,
    SERIES_COLOURS,
    SMALL_SIZE,
    message_figure,
    new_figure,
    plain,
    set_title,
    tidy_axes,
    to_png,
)
from dp_assets.figures.plate_layout import PlateLayout, guess_layout, row_name

COLOURS = "viridis"
MOST_BARS = 50
EMPTY = "#f3f5f7"


def plate_heatmap(values: Mapping[str, float], title: str, unit: str) -> bytes:
    """Draw one number per well.

    Parameters
    ----------
    values : well name -> number; NaN is drawn as missing. The plate's format (96, 384, 1536) follows from the
        names.
    title : name of the plate and what is shown.
    unit : what the numbers count, written beside the colour scale.

    Returns
    -------
    PNG bytes; a list of bars when well names are not letters and numbers.
    """
    finite = {well: float(value) for well, value in values.items() if np.isfinite(value)}
    if not finite:
        return message_figure(title, "There are no values to show.")
    layout = guess_layout(values)
    if layout is None:
        return _bars(finite, title, unit)
    return _plate(finite, layout, title, unit)


def _plate(values: Mapping[str, float], layout: PlateLayout, title: str, unit: str) -> bytes:
    width = 6.4 if layout.cols == 12 else 7.8
    figure = new_figure(width, (width - 1.4) * layout.rows / layout.cols + 0.85)
    set_title(figure, title)
    axes = figure.add_subplot()
    scale = _scale(values)
    colours = colormaps[COLOURS]
    by_position = {layout.positions[well]: value for well, value in values.items()}
    _draw_wells(axes, layout, by_position, scale, colours)
    if layout.cols == 12:
        _write_values(axes, by_position, scale)
    number_axes(axes, layout)
    _colour_bar(figure, axes, scale, unit)
    return to_png(figure)


def _scale(values: Mapping[str, float]) -> Normalize:
    low, high = min(values.values()), max(values.values())
    return Normalize(low, high if high > low else low + 1)


def _draw_wells(
    axes: Axes,
    layout: PlateLayout,
    values: Mapping[tuple[int, int], float],
    scale: Normalize,
    colours: Colormap,
) -> None:
    patches: list[Patch] = []
    faces = []
    for row in range(layout.rows):
        for col in range(layout.cols):
            patches.append(_well_patch(layout, row, col))
            value = values.get((row, col))
            faces.append(EMPTY if value is None else colours(scale(value)))
    axes.add_collection(PatchCollection(patches, facecolors=faces, edgecolors="none"))
    axes.set_xlim(-0.6, layout.cols - 0.4)
    axes.set_ylim(layout.rows - 0.4, -0.6)
    axes.set_aspect("equal")


def _well_patch(layout: PlateLayout, row: int, col: int) -> Patch:
    if layout.cols > 24:
        return Rectangle((col - 0.46, row - 0.46), 0.92, 0.92)
    return FancyBboxPatch((col - 0.38, row - 0.38), 0.76, 0.76, boxstyle="round,pad=0.06,rounding_size=0.16")


def _write_values(axes: Axes, values: Mapping[tuple[int, int], float], scale: Normalize) -> None:
    whole = all(float(value).is_integer() for value in values.values())
    for (row, col), value in values.items():
        text = (
            f"{value:.0f}"
            if whole or abs(value) >= 100
            else f"{value:.2g}"
            if abs(value) < 10
            else f"{value:.1f}"
        )
        if len(text) <= 5:
            # The scale is dark below and bright above.
            colour = "#ffffff" if scale(value) < 0.6 else INK
            axes.text(col, row, text, ha="center", va="center", fontsize=7, color=colour)


def number_axes(axes: Axes, layout: PlateLayout) -> None:
    """Letters and numbers of a plate around axes that have a unit per well."""
    every = 1 if layout.cols <= 24 else 4
    columns, rows = range(0, layout.cols, every), range(0, layout.rows, every)
    axes.set_xticks(list(columns), [str(col + 1) for col in columns])
    axes.set_yticks(list(rows), [row_name(row) for row in rows])
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=SMALL_SIZE, labelcolor=QUIET, pad=1)
    axes.spines[:].set_visible(False)


def _colour_bar(figure: Figure, axes: Axes, scale: Normalize, unit: str) -> None:
    bar = figure.colorbar(ScalarMappable(scale, COLOURS), ax=axes, shrink=0.75, aspect=18, pad=0.03)
    bar.set_label(plain(unit), fontsize=LABEL_SIZE, color=INK)
    bar.ax.tick_params(labelsize=SMALL_SIZE, colors=QUIET, length=0)
    bar.outline.set_visible(False)


def _bars(values: Mapping[str, float], title: str, unit: str) -> bytes:
    shown = dict(list(values.items())[:MOST_BARS])
    figure = new_figure(5.6, 0.17 * len(shown) + 1.1)
    left_out = len(values) - len(shown)
    set_title(figure, title)
    axes = figure.add_subplot()
    axes.barh(range(len(shown)), list(shown.values()), color=SERIES_COLOURS[0], height=0.7)
    axes.set_yticks(range(len(shown)), [plain(well) for well in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel(plain(unit) + (f"   (and {left_out} more wells)" if left_out else ""))
    tidy_axes(axes, grid=False)
    axes.grid(axis="x", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    return to_png(figure)
