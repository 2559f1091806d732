"""One bar for each of some names: plates, classes."""

from collections.abc import Mapping

import numpy as np

from dp_assets.figures.canvas import (
    INK,
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

MOST_BARS = 40
LINE = 0.2  # inches


def named_bars(values: Mapping[str, float], title: str, unit: str, limit: float | None = None) -> bytes:
    """Bars in the order given; those beyond the limit stand out.

    Parameters
    ----------
    values : name -> number. Of more than 40 the first and the last 20 are drawn.
    title : what is shown.
    unit : of the numbers, below the axis.
    limit : a line across all bars; None for none.

    Returns
    -------
    PNG bytes.
    """
    if not values:
        return message_figure(title, "There are no values to show.")
    items = list(values.items())
    if len(items) > MOST_BARS:
        items = [*items[: MOST_BARS // 2], *items[-MOST_BARS // 2 :]]
        title = f"{title}, {len(items)} of {len(values)}"
    numbers = np.array([value for _, value in items], float)
    figure = new_figure(6.4, LINE * len(items) + 1.1)
    set_title(figure, title)
    axes = figure.add_subplot()
    beyond = np.zeros(len(items), bool) if limit is None else numbers > limit
    colours = [SERIES_COLOURS[1] if is_beyond else SERIES_COLOURS[0] for is_beyond in beyond]
    axes.barh(range(len(items)), numbers, color=colours, height=0.7)
    for row, number in enumerate(numbers):
        axes.annotate(
            f"{number:.4g}", (number, row), (4, 0), textcoords="offset points", va="center",
            fontsize=SMALL_SIZE, color=QUIET,
        )  # fmt: skip
    if limit is not None:
        axes.axvline(limit, color=INK, lw=1, ls=":")
    axes.set_yticks(range(len(items)), [plain(name) for name, _ in items])
    axes.set_ylim(len(items) - 0.4, -0.6)
    axes.margins(x=0.12)
    axes.set_xlabel(plain(unit, 80))
    tidy_axes(axes, grid=False)
    axes.grid(axis="x", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    return to_png(figure)
