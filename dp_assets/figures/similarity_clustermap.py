"""Which treatments are alike: the similarity of all pairs, ordered by clustering."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from dp_assets.figures.canvas import (
    INK,
    LABEL_SIZE,
    QUIET,
    RICH_BYTES,
    SMALL_SIZE,
    message_figure,
    new_figure,
    plain,
    set_title,
    to_png,
)
from dp_assets.figures.categories import Categories, categorize
from dp_assets.figures.legends import LONGEST_NAME, category_bar, category_legend

COLOURS = colormaps["RdBu_r"].resampled(32)
MOST_NAMES = 60  # more treatments than this are drawn without their names
MOST_ORDERED = 400  # the leaves of larger trees are not turned so that neighbours are alike: it takes minutes
MOST_PIXELS = 250
NAME_HEIGHT, NAME_WIDTH, LEAST_SIDE, SIDE = 0.125, 0.062, 2.2, 4.6  # inches
TREE, STRIP, GAP, LEGEND, BAR = 0.75, 0.13, 0.04, 2.3, 0.75  # inches


def similarity_clustermap(
    similarity: np.ndarray,
    names: Sequence[str] | np.ndarray,
    labels: Sequence[str] | np.ndarray,
    title: str = "Similarity of treatments",
) -> bytes:
    """A matrix of similarities, with the tree of average-linkage clustering and a colour per label.

    Parameters
    ----------
    similarity : (treatments, treatments), symmetric, such as cosines; NaN where undefined.
    names : (treatments,), written beside up to 60 rows.
    labels : (treatments,) str, "" for none.
    title : what is compared; the number of treatments is added.

    Returns
    -------
    PNG bytes. Colours span the 0.5 and 99.5 % quantiles of the pairs, the same on both sides of 0. Matrices
    of more than 250 rows are averaged over blocks.
    """
    count = len(similarity)
    if count == 0:
        return message_figure(title, "There are no treatments to compare.")
    tree = _tree(similarity)
    order = np.arange(count) if tree is None else leaves_list(tree)
    named = count <= MOST_NAMES
    written = [plain(str(names[int(i)]), LONGEST_NAME) for i in order] if named else []
    beside = max([0.1, *(NAME_WIDTH * len(name) + 0.1 for name in written)])
    side = max(count * NAME_HEIGHT, LEAST_SIDE) if named else SIDE
    figure, heat, left, branches = _axes(f"{title}, n = {count}", side, beside)
    limit = _limit(similarity)
    found = categorize(np.asarray(labels))
    _draw_strip(left, found.colours[order])
    if tree is not None:
        _draw_tree(branches, tree)
    heat.imshow(
        _blocks(similarity[np.ix_(order, order)]),
        cmap=COLOURS,
        vmin=-limit,
        vmax=limit,
        aspect="auto",
        interpolation="nearest",
    )
    _write_names(heat, written)
    _name_labels(figure, heat, found, beside / side)
    _similarity_bar(figure, heat, limit, side)
    return to_png(figure, limit=RICH_BYTES)


def _tree(similarity: np.ndarray) -> np.ndarray | None:
    if len(similarity) < 2:
        return None
    distances = 1 - np.nan_to_num(np.asarray(similarity, float))
    distances = np.clip((distances + distances.T) / 2, 0, None)
    np.fill_diagonal(distances, 0)
    return np.asarray(
        linkage(
            squareform(distances, checks=False),
            "average",
            optimal_ordering=len(distances) <= MOST_ORDERED,
        )
    )


def _limit(similarity: np.ndarray) -> float:
    pairs = np.abs(similarity[~np.eye(len(similarity), dtype=bool)])
    pairs = pairs[np.isfinite(pairs)]
    return float(np.clip(np.quantile(pairs, 0.995), 0.1, 1)) if len(pairs) else 1.0


def _axes(title: str, side: float, beside: float) -> tuple[Figure, Axes, Axes, Axes]:
    """The figure and the axes of matrix, colour strip and tree, in inches from the upper left."""
    width, height = 0.1 + TREE + STRIP + 2 * GAP + side + beside + LEGEND, 0.4 + side + BAR
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    set_title(figure, title)
    axes = []
    for start, breadth in ((0.1 + TREE + STRIP + 2 * GAP, side), (0.1 + TREE + GAP, STRIP), (0.1, TREE)):
        one = figure.add_axes((start / width, BAR / height, breadth / width, side / height))
        one.set_xticks([])
        one.set_yticks([])
        one.spines[:].set_visible(False)
        axes.append(one)
    return figure, axes[0], axes[1], axes[2]


def _draw_strip(axes: Axes, colours: np.ndarray) -> None:
    axes.imshow(
        np.array([to_rgb(colour) for colour in colours])[:, None], aspect="auto", interpolation="nearest"
    )


def _draw_tree(axes: Axes, tree: np.ndarray) -> None:
    """Brackets of the tree, its root to the left; leaf i lies at height i of the ordered matrix."""
    count = len(tree) + 1
    heights = np.zeros(2 * count - 1)
    depths = np.zeros(2 * count - 1)
    heights[leaves_list(tree)] = np.arange(count)
    brackets = []
    for i, (first, second, depth, _) in enumerate(tree):
        a, b = int(first), int(second)
        heights[count + i] = (heights[a] + heights[b]) / 2
        depths[count + i] = depth
        brackets.append(
            [(depths[a], heights[a]), (depth, heights[a]), (depth, heights[b]), (depths[b], heights[b])]
        )
    axes.add_collection(LineCollection(brackets, colors=QUIET, linewidths=0.7 if count < 300 else 0.15))
    axes.set_xlim(float(depths.max()) * 1.02 or 1.0, 0)
    axes.set_ylim(count - 0.5, -0.5)


def _blocks(matrix: np.ndarray) -> np.ndarray:
    """The matrix averaged over blocks to at most 250 rows and columns."""
    count = len(matrix)
    if count <= MOST_PIXELS:
        return matrix
    edges = np.linspace(0, count, MOST_PIXELS, endpoint=False).astype(int)
    sums = np.add.reduceat(np.add.reduceat(matrix, edges, axis=0), edges, axis=1)
    sizes = np.diff([*edges, count])
    return np.asarray(sums / np.outer(sizes, sizes))


def _write_names(heat: Axes, names: Sequence[str]) -> None:
    heat.yaxis.tick_right()
    heat.set_yticks(range(len(names)), names)
    heat.tick_params(length=0, labelsize=SMALL_SIZE - 1, labelcolor=INK, pad=2)


def _name_labels(figure: Figure, heat: Axes, found: Categories, shift: float) -> None:
    """The legend of the colour strip, `shift` widths of the matrix right of it."""
    beside = heat.inset_axes((shift, 0, 1, 1))
    beside.set_axis_off()
    if found.is_scale:
        category_bar(figure, beside, found)
    else:
        category_legend(beside, found, patches=True)


def _similarity_bar(figure: Figure, heat: Axes, limit: float, side: float) -> None:
    bar = figure.colorbar(
        ScalarMappable(Normalize(-limit, limit), COLOURS),
        cax=heat.inset_axes((0.15, -0.24 / side, 0.7, 0.11 / side)),
        orientation="horizontal",
        extend="both" if limit < 1 else "neither",
    )
    bar.set_label("similarity", fontsize=LABEL_SIZE, color=INK)
    bar.ax.tick_params(labelsize=SMALL_SIZE, colors=QUIET, length=0)
    bar.outline.set_visible(False)
