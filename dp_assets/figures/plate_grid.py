"""Several plates side by side: one number, or one category, per well."""

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dp_assets.figures.canvas import INK, QUIET, RICH_BYTES, SMALL_SIZE, message_figure, plain, to_png
from dp_assets.figures.categories import FAINT, SCALE, Categories, categorize, natural_key
from dp_assets.figures.legends import category_bar, category_legend, colour_bar
from dp_assets.figures.panels import panel_grid
from dp_assets.figures.plate_heatmap import EMPTY, number_axes
from dp_assets.figures.plate_layout import PlateLayout, guess_layout

MOST_PLATES = 60
WIDTHS = {1: 6.2, 4: 3.6, 12: 2.4}  # plates -> inches of one; more get the least
LEAST_WIDTH = 1.45
WIDEST = 10.5  # inches
SIDE = 2.2  # inches, for the legend or the colour bar
MOST_OUTLIERS = 1.0  # per cent of the wells beyond either end of the colour scale
LEAST_ROBUST = 100  # wells; the scale of fewer runs from the smallest to the largest


def plate_heatmaps(values: Mapping[str, Mapping[str, float]], title: str, unit: str) -> bytes:
    """One number per well of several plates, all on one colour scale.

    Parameters
    ----------
    values : plate -> well -> number; NaN is drawn as a missing value, in darker grey than positions without a
        well.
    title : what is shown; the numbers of plates and wells are added.
    unit : what the numbers count, written beside the colour scale.

    Returns
    -------
    PNG bytes; the first 60 plates by name. Of 100 wells and more the scale leaves out 1 % at either end.
    """
    shown, layout = _shown(values)
    numbers = np.array([value for plate in shown.values() for value in plate.values()], float)
    numbers = numbers[np.isfinite(numbers)]
    if layout is None or not len(numbers):
        return message_figure(title, "There are no values at positions of a plate to show.")
    scale, extend = _scale(numbers)
    colours = colormaps[SCALE]
    pictures = {
        plate: {
            well: to_rgb(FAINT) if not np.isfinite(value) else colours(scale(value))[:3]
            for well, value in wells.items()
        }
        for plate, wells in shown.items()
    }
    figure = _draw(pictures, layout, _heading(title, values, shown))
    beside = _right_of_all(figure)
    colour_bar(figure, beside, ScalarMappable(scale, SCALE), unit, extend)
    if any(not np.isfinite(value) for wells in shown.values() for value in wells.values()):
        _name_missing(beside)
    return to_png(figure, limit=RICH_BYTES)


def plate_categories(values: Mapping[str, Mapping[str, str]], title: str) -> bytes:
    """One category per well of one or several plates: treatment, label, control or treated.

    Parameters
    ----------
    values : plate -> well -> category; "" for none.
    title : what is shown; the numbers of plates and wells are added.

    Returns
    -------
    PNG bytes; the first 60 plates by name. Many categories share colours as in `categorize`.
    """
    shown, layout = _shown(values)
    if layout is None:
        return message_figure(title, "There are no wells at positions of a plate to show.")
    found = categorize([value for wells in shown.values() for value in wells.values()])
    rows = iter(found.colours)
    pictures = {plate: {well: to_rgb(next(rows)) for well in wells} for plate, wells in shown.items()}
    figure = _draw(pictures, layout, _heading(title, values, shown))
    _name_categories(figure, found)
    return to_png(figure, limit=RICH_BYTES)


def _shown(values: Mapping[str, Mapping]) -> tuple[dict[str, Mapping], PlateLayout | None]:
    """The plates that are drawn, and the layout that fits all their wells."""
    plates = sorted((plate for plate in values if values[plate]), key=natural_key)[:MOST_PLATES]
    wells = {well for plate in plates for well in values[plate]}
    return {plate: values[plate] for plate in plates}, guess_layout(wells) if wells else None


def _heading(title: str, values: Mapping[str, Mapping], shown: Mapping[str, Mapping]) -> str:
    wells = sum(len(plate) for plate in shown.values())
    of = f"{len(shown)} of {len(values)}" if len(shown) < len(values) else f"{len(shown)}"
    return f"{title}, {of} plate{'s' if len(values) > 1 else ''}, {wells} wells"


def _scale(numbers: np.ndarray) -> tuple[Normalize, str]:
    robust = len(numbers) >= LEAST_ROBUST
    low, high = np.percentile(numbers, [MOST_OUTLIERS, 100 - MOST_OUTLIERS] if robust else [0, 100])
    if high <= low:
        low, high = float(numbers.min()), float(numbers.max())
    below, above = numbers.min() < low, numbers.max() > high
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")
    return Normalize(float(low), float(high) if high > low else float(low) + 1, clip=True), extend


def _draw(
    pictures: Mapping[str, Mapping[str, tuple[float, float, float]]], layout: PlateLayout, title: str
) -> Figure:
    width = next((width for most, width in WIDTHS.items() if len(pictures) <= most), LEAST_WIDTH)
    columns = min(len(pictures), int(WIDEST // width))
    height = width * layout.rows / layout.cols
    figure, panels = panel_grid(title, len(pictures), columns, (width, height), right=0.14, above=0.3)
    for axes, (plate, wells) in zip(panels, pictures.items(), strict=True):
        _draw_plate(axes, layout, wells)
        if len(pictures) == 1:
            number_axes(axes, layout)
        else:
            axes.set_title(
                plain(plate, max(10, int(width * 11))), loc="left", fontsize=SMALL_SIZE, color=INK, pad=3
            )
    return figure


def _draw_plate(axes: Axes, layout: PlateLayout, wells: Mapping[str, tuple[float, float, float]]) -> None:
    picture = np.full((layout.rows, layout.cols, 3), to_rgb(EMPTY))
    for well, colour in wells.items():
        picture[layout.positions[well]] = colour
    axes.imshow(picture, interpolation="nearest", aspect="auto")
    # Thin gaps make wells of one colour countable.
    if layout.cols <= 24:
        right, bottom = layout.cols - 0.5, layout.rows - 0.5
        gaps = [[(col + 0.5, -0.5), (col + 0.5, bottom)] for col in range(layout.cols - 1)]
        gaps += [[(-0.5, row + 0.5), (right, row + 0.5)] for row in range(layout.rows - 1)]
        axes.add_collection(LineCollection(gaps, colors="white", linewidths=0.6), autolim=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _right_of_all(figure: Figure) -> Axes:
    """Invisible axes beside the plates, that legends are placed against."""
    boxes = [axes.get_position() for axes in figure.axes]
    right, top = max(box.x1 for box in boxes), max(box.y1 for box in boxes)
    width, height = figure.get_size_inches()
    axes = figure.add_axes((right - (SIDE - 0.15) / width, top - SIDE / height, SIDE / width, SIDE / height))
    axes.set_axis_off()
    return axes


def _name_categories(figure: Figure, found: Categories) -> None:
    beside = _right_of_all(figure)
    if found.is_scale:
        category_bar(figure, beside, found)
    else:
        category_legend(beside, found, patches=True)


def _name_missing(beside: Axes) -> None:
    handle = Patch(color=FAINT, label="no value")
    beside.legend(
        handles=[handle],
        loc="upper left",
        bbox_to_anchor=(1.01, 0.02),
        frameon=False,
        borderpad=0,
        handlelength=1.2,
        fontsize=SMALL_SIZE,
        labelcolor=QUIET,
    )
