"""Legends and colour bars beside the data, never on top of them."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dp_assets.figures.canvas import INK, LABEL_SIZE, QUIET, SMALL_SIZE, plain
from dp_assets.figures.categories import NOTHING, Categories

LONGEST_NAME = 26
MOST_TICKS = 6


def category_legend(axes: Axes, found: Categories, *, patches: bool = False) -> None:
    """Names and counts of categories, right of the axes; as squares where the picture has no marks."""
    handles: list[Line2D | Patch] = []
    for entry in found.entries:
        label = f"{plain(entry.name, LONGEST_NAME)} ({entry.count})"
        if patches:
            handles.append(Patch(color=entry.colour, label=label))
        else:
            handles.append(
                Line2D([], [], ls="none", marker=entry.mark, color=entry.colour, ms=5, label=label)
            )
    side_legend(axes, handles)


def side_legend(axes: Axes, handles: Sequence[Line2D | Patch]) -> None:
    """A legend right of the axes, level with their top."""
    axes.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        handletextpad=0.4,
        handlelength=1.2,
        labelspacing=0.35,
        fontsize=SMALL_SIZE,
        labelcolor=INK,
    )


def series_legend(figure: Figure, axes: Axes) -> None:
    """What is drawn on the axes, right of the whole figure."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles, labels, loc="outside right upper", frameon=False, fontsize=SMALL_SIZE, labelcolor=INK
        )


def category_bar(figure: Figure, axes: Axes, found: Categories) -> None:
    """A colour bar for categories on a scale, with the names at a few places."""
    entries = [entry for entry in found.entries if entry.name != NOTHING]
    names = [entry.name for entry in entries]
    colours = ListedColormap([entry.colour for entry in entries])
    bar = colour_bar(figure, axes, ScalarMappable(Normalize(-0.5, len(names) - 0.5), colours))
    ticks = _even_places(len(names))
    bar.set_ticks(ticks, labels=[plain(names[tick], LONGEST_NAME - 8) for tick in ticks])
    bar.set_label(f"{len(names)} values, by name", fontsize=SMALL_SIZE, color=QUIET)


def colour_bar(
    figure: Figure, axes: Axes, scale: ScalarMappable, unit: str = "", extend: str = "neither"
) -> Colorbar:
    """A quiet colour bar right of the axes, which keep their size."""
    bar = figure.colorbar(scale, cax=axes.inset_axes((1.03, 0.06, 0.05, 0.88)), extend=extend)
    bar.set_label(plain(unit), fontsize=LABEL_SIZE, color=INK)
    bar.ax.tick_params(labelsize=SMALL_SIZE, colors=QUIET, length=0)
    bar.outline.set_visible(False)
    return bar


def _even_places(count: int) -> list[int]:
    shown = min(count, MOST_TICKS)
    return sorted({round(i * (count - 1) / max(shown - 1, 1)) for i in range(shown)})
