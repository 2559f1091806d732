"""A map of profiles (UMAP, t-SNE), coloured by what is known of them."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure

from dp_assets.figures.canvas import (
    INK,
    LABEL_SIZE,
    QUIET,
    RICH_BYTES,
    RULE,
    SERIES_COLOURS,
    SMALL_SIZE,
    message_figure,
    plain,
    to_png,
)
from dp_assets.figures.categories import FAINT, OTHER_COLOUR, SCALE, Categories, categorize, natural_key
from dp_assets.figures.legends import LONGEST_NAME, category_bar, category_legend, colour_bar
from dp_assets.figures.panels import panel_grid

PANEL, LEGEND = 3.0, 2.1  # inches
SMALL_PANEL = 1.75  # inches
SMOOTH_SIZE = 14  # square points; smaller ones are drawn with hard edges
MOST_COLUMNS = 2
MOST_PANELS = 24


def profile_map(
    places: np.ndarray,
    colourings: Mapping[str, Sequence[str] | np.ndarray],
    title: str,
    *,
    axis: str = "UMAP",
) -> bytes:
    """The same map once for every colouring.

    Parameters
    ----------
    places : (rows, 2); rows with NaN are not drawn.
    colourings : heading -> (rows,) what each row is. Text and bool are categories ("" is none); numbers lie
        on a colour scale, NaN in faint grey. "correct", "wrong", "not scored", "control" and "treated" have
        colours of their own.
    title : what is mapped; the number of rows is added.
    axis : name of the map's axes.

    Returns
    -------
    PNG bytes. Legends count the rows of every category.
    """
    drawn = np.isfinite(places).all(axis=1)
    if not drawn.any() or not colourings:
        return message_figure(title, "There are no profiles to map.")
    columns = min(MOST_COLUMNS, len(colourings))
    figure, panels = panel_grid(
        f"{title}, {_count(drawn)}", len(colourings), columns, (PANEL, PANEL), right=LEGEND, above=0.35
    )
    for axes, (heading, values) in zip(panels, colourings.items(), strict=True):
        _prepare(axes, places[drawn], heading)
        known = np.asarray(values)[drawn]
        if known.dtype.kind in "iuf":
            _draw_numbers(figure, axes, places[drawn], known.astype(float))
        else:
            _draw_categories(figure, axes, places[drawn], categorize(known))
    panels[0].set_xlabel(f"{plain(axis)} 1", fontsize=SMALL_SIZE, color=QUIET)
    panels[0].set_ylabel(f"{plain(axis)} 2", fontsize=SMALL_SIZE, color=QUIET)
    return to_png(figure, limit=RICH_BYTES)


def profile_map_panels(
    places: np.ndarray, labels: Sequence[str] | np.ndarray, title: str, *, separator: str = ""
) -> bytes:
    """One small map per label: its rows in colour, all others in grey.

    Parameters
    ----------
    places : (rows, 2); rows with NaN are not drawn.
    labels : (rows,) str, "" for none.
    title : what is mapped; the numbers of rows and labels are added.
    separator : what stands between several labels of one row; "" when a row has one.

    Returns
    -------
    PNG bytes; the 24 most frequent labels, sorted by name.
    """
    drawn = np.isfinite(places).all(axis=1)
    sets = [
        {part.strip() for part in (text.split(separator) if separator else [text]) if part.strip()}
        for text in np.asarray(labels, object)[drawn]
    ]
    counts = Counter(label for labels_of_row in sets for label in labels_of_row)
    if not counts:
        return message_figure(title, "No profile has a label.")
    frequent = sorted(counts, key=lambda name: (-counts[name], natural_key(name)))[:MOST_PANELS]
    shown = sorted(frequent, key=natural_key)
    columns = min(6 if len(shown) > 12 else 4, len(shown))
    of = f"{len(shown)} of {len(counts)}" if len(shown) < len(counts) else f"{len(counts)}"
    figure, panels = panel_grid(
        f"{title}, {_count(drawn)}, {of} labels", len(shown), columns, (SMALL_PANEL, SMALL_PANEL)
    )
    size = _point_size(len(sets)) * 0.7
    for axes, name in zip(panels, shown, strict=True):
        _prepare(axes, places[drawn], f"{plain(name, LONGEST_NAME - 5)} ({counts[name]})", SMALL_SIZE)
        has_it = np.array([name in labels_of_row for labels_of_row in sets])
        _scatter(axes, places[drawn][~has_it], [FAINT] * int((~has_it).sum()), "o", size * 0.5)
        _scatter(axes, places[drawn][has_it], [SERIES_COLOURS[0]] * counts[name], "o", size)
    return to_png(figure, limit=RICH_BYTES)


def _count(drawn: np.ndarray) -> str:
    return f"n = {drawn.sum()}" + ("" if drawn.all() else f" of {len(drawn)}")


def _prepare(axes: Axes, places: np.ndarray, heading: str, size: float = LABEL_SIZE) -> None:
    axes.set_title(plain(heading), loc="left", fontsize=size, fontweight="bold", color=INK, pad=4)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(RULE)
    # The unit of the two axes is the same, and so is the scale of all panels.
    low, high = places.min(axis=0), places.max(axis=0)
    half = max(float((high - low).max()) / 2 * 1.08, 1e-6)
    middle = (low + high) / 2
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] - half, middle[1] + half)
    axes.set_aspect("equal")


def _scatter(
    axes: Axes, places: np.ndarray, colours: Sequence[str] | np.ndarray, mark: str, size: float
) -> None:
    """Points in an order of their own, so that the last category does not hide the others."""
    order = np.random.default_rng(0).permutation(len(places))
    axes.scatter(
        places[order, 0],
        places[order, 1],
        c=np.array(colours, object)[order].tolist(),
        marker=mark,
        s=size,
        linewidths=0.4 if size > SMOOTH_SIZE else 0,
        edgecolors="white",
        # Thousands of soft edges would make the picture so large that it loses its colours.
        antialiased=size > SMOOTH_SIZE,
    )


def _point_size(rows: int) -> float:
    return float(np.clip(9000 / rows, 5, 34))


def _draw_categories(figure: Figure, axes: Axes, places: np.ndarray, found: Categories) -> None:
    entries = found.entries
    faint = np.array([entry.colour in (FAINT, OTHER_COLOUR) for entry in entries])
    marks = np.array([entry.mark for entry in entries])
    for behind in (True, False):
        for mark in dict.fromkeys(marks):
            chosen = (faint[found.codes] == behind) & (marks[found.codes] == mark)
            if chosen.any():
                _scatter(axes, places[chosen], found.colours[chosen], mark, _point_size(len(places)))
    if found.is_scale:
        category_bar(figure, axes, found)
    else:
        category_legend(axes, found)


def _draw_numbers(figure: Figure, axes: Axes, places: np.ndarray, values: np.ndarray) -> None:
    known = np.isfinite(values)
    if (~known).any():
        _scatter(axes, places[~known], [FAINT] * int((~known).sum()), "o", _point_size(len(places)))
    if not known.any():
        return
    low, high = float(values[known].min()), float(values[known].max())
    scale = Normalize(low, high if high > low else low + 1)
    colours = [to_hex(colour) for colour in colormaps[SCALE](scale(values[known]))]
    _scatter(axes, places[known], colours, "o", _point_size(len(places)))
    colour_bar(figure, axes, ScalarMappable(scale, SCALE))
