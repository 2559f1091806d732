"""What all figures share: a canvas without global state, colours, type sizes, and the way to PNG bytes."""

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dp_assets.figures.preview import PREVIEW_BYTES, fit_preview

DOTS_PER_INCH = 110
RICH_BYTES = 150_000  # the limit of figures with thousands of points or wells
INK, QUIET, RULE, PAPER = "#1f2933", "#66727f", "#dfe4e9", "#ffffff"
# Okabe and Ito's palette (2008), readable with any colour vision; yellow is left out as too faint on white.
SERIES_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#4d4d4d", "#8c510a")
TITLE_SIZE, LABEL_SIZE, SMALL_SIZE = 11, 9, 8
LONGEST_LABEL = 32
CHARACTERS_PER_INCH = 11.5  # of a title


def new_figure(width: float, height: float) -> Figure:
    """An empty figure on an Agg canvas of its own; sizes in inches."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def set_title(figure: Figure, title: str) -> None:
    """Write the figure's title, flush left, shortened to the figure's width."""
    longest = int(figure.get_figwidth() * CHARACTERS_PER_INCH)
    figure.suptitle(
        plain(title, longest), x=0.01, ha="left", fontsize=TITLE_SIZE, fontweight="bold", color=INK
    )


def tidy_axes(axes: Axes, *, grid: bool = True) -> None:
    """The house look of a chart: no box, quiet ticks, a faint horizontal grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.tick_params(colors=QUIET, labelsize=SMALL_SIZE, length=3, color=RULE)
    axes.xaxis.label.set(color=INK, fontsize=LABEL_SIZE)
    axes.yaxis.label.set(color=INK, fontsize=LABEL_SIZE)
    if grid:
        axes.grid(axis="y", color=RULE, linewidth=0.7)
        axes.set_axisbelow(True)


def plain(label: str, longest: int = LONGEST_LABEL) -> str:
    """A user's text as it is: no formulas, no hidden legend entries, shortened when it is very long."""
    text = label if len(label) <= longest else label[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    text = text.replace("$", r"\$")
    # A legend leaves out labels that begin with an underscore.
    return "\N{THIN SPACE}" + text if text.startswith("_") else text


def to_png(figure: Figure, *, photographs: bool = False, limit: int = PREVIEW_BYTES) -> bytes:
    """The figure as a PNG of at most `limit` bytes; say if it is mostly images of cells."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", bbox_inches="tight", pad_inches=0.1)
    return fit_preview(stream.getvalue(), limit, photographs=photographs)


def message_figure(title: str, message: str) -> bytes:
    """A figure that says why there is nothing to draw."""
    figure = new_figure(5.0, 1.4)
    set_title(figure, title)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.0, 0.5, message, transform=axes.transAxes, fontsize=LABEL_SIZE, color=QUIET, va="center")
    return to_png(figure)
