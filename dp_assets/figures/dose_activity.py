"""How well each dose is told from untreated wells."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from dp_assets.figures.canvas import (
    INK,
    LABEL_SIZE,
    QUIET,
    SERIES_COLOURS,
    SMALL_SIZE,
    message_figure,
    new_figure,
    plain,
    set_title,
    tidy_axes,
    to_png,
)
from dp_assets.figures.categories import natural_key
from dp_assets.figures.dose_response import finish_dose_axes

TITLE = "Activity by dose"
MOST_SERIES = 6  # more compounds than this get a panel each
MOST_PANELS, PANEL_COLUMNS = 24, 6
Curve = tuple[np.ndarray, np.ndarray, np.ndarray]  # doses, scores, significant; sorted by dose


def dose_activity_figure(
    compounds: Sequence[str] | np.ndarray,
    doses: np.ndarray,
    scores: np.ndarray,
    *,
    significant: np.ndarray | None = None,
    chance: float | None = None,
    unit: str = "µM",
    score_name: str = "mean average precision",
    title: str = TITLE,
) -> bytes:
    """A score of every dose against untreated wells, one line per compound.

    Parameters
    ----------
    compounds : (treatments,) names.
    doses : (treatments,) in `unit`; treatments without a positive dose have no place on the axis.
    scores : (treatments,), such as the mean average precision against controls; NaN is left out.
    significant : (treatments,) bool; filled marks are significant, hollow ones are not. All filled if None.
    chance : the score of treatments without effect; a dotted line.
    unit : of the doses.
    score_name : label of the vertical axis.

    Returns
    -------
    PNG bytes. Up to 6 compounds share one chart; more get a panel each, the 24 with the highest scores.
    """
    curves = _collect(compounds, np.asarray(doses, float), np.asarray(scores, float), significant)
    if not curves:
        return message_figure(title, "No treatment has a positive dose and a score.")
    treatments = sum(len(one[0]) for one in curves.values())
    heading = f"{title}, {len(curves)} compound{'s' if len(curves) > 1 else ''}, {treatments} treatments"
    if len(curves) <= MOST_SERIES:
        return _one_chart(curves, chance, unit, score_name, heading, hollow=significant is not None)
    return _panels(curves, chance, unit, score_name, heading)


def _collect(
    compounds: Sequence[str] | np.ndarray,
    doses: np.ndarray,
    scores: np.ndarray,
    significant: np.ndarray | None,
) -> dict[str, Curve]:
    names = np.asarray(compounds, object)
    filled = np.ones(len(names), bool) if significant is None else np.asarray(significant, bool)
    usable = np.isfinite(doses) & (doses > 0) & np.isfinite(scores)
    curves = {}
    for name in sorted(set(names[usable]), key=lambda one: natural_key(str(one))):
        rows = np.flatnonzero(usable & (names == name))
        rows = rows[np.argsort(doses[rows], kind="stable")]
        curves[str(name)] = (doses[rows], scores[rows], filled[rows])
    return curves


def _one_chart(
    curves: dict[str, Curve], chance: float | None, unit: str, score_name: str, title: str, *, hollow: bool
) -> bytes:
    figure = new_figure(6.6, 3.5)
    set_title(figure, title)
    axes = figure.add_subplot()
    handles = [_draw(axes, name, curve, SERIES_COLOURS[i]) for i, (name, curve) in enumerate(curves.items())]
    if hollow:
        handles.append(Line2D([], [], ls="none", marker="o", mfc="white", mec=QUIET, label="not significant"))
    if chance is not None:
        handles.append(axes.axhline(chance, color=QUIET, lw=1, ls=":", label="chance"))
    finish_dose_axes(axes, _steps(curves), most_ticks=8)
    axes.set_xlabel(f"dose ({plain(unit)}, log scale)")
    axes.set_ylabel(plain(score_name))
    figure.legend(
        handles=handles, loc="outside right upper", frameon=False, fontsize=SMALL_SIZE, labelcolor=INK
    )
    return to_png(figure)


def _panels(curves: dict[str, Curve], chance: float | None, unit: str, score_name: str, title: str) -> bytes:
    ranked = sorted(curves, key=lambda name: -float(curves[name][1].max()))[:MOST_PANELS]
    lines = -(-len(ranked) // PANEL_COLUMNS)
    figure = new_figure(1.55 * PANEL_COLUMNS + 0.5, 1.4 * lines + 0.8)
    shown = f", {len(ranked)} compounds shown" if len(ranked) < len(curves) else ""
    set_title(figure, title + shown)
    panels = figure.subplots(lines, PANEL_COLUMNS, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in panels[len(ranked) :]:
        axes.set_axis_off()
    for axes, name in zip(panels, ranked, strict=False):
        _draw(axes, name, curves[name], SERIES_COLOURS[0])
        if chance is not None:
            axes.axhline(chance, color=QUIET, lw=1, ls=":")
        axes.set_title(plain(name, 20), fontsize=SMALL_SIZE, color=INK, loc="left", pad=3)
        finish_dose_axes(axes, _steps(curves), most_ticks=4)
    figure.supxlabel(f"dose ({plain(unit)}, log scale)", fontsize=LABEL_SIZE, color=INK)
    figure.supylabel(plain(score_name), fontsize=LABEL_SIZE, color=INK)
    return to_png(figure)


def _draw(axes: Axes, name: str, curve: Curve, colour: str) -> Line2D:
    doses, scores, filled = curve
    (line,) = axes.plot(doses, scores, "-", color=colour, lw=1.7, label=plain(name), zorder=2)
    for chosen, face in ((filled, colour), (~filled, "white")):
        axes.plot(doses[chosen], scores[chosen], "o", ms=5.5, mfc=face, mec=colour, zorder=3)
    tidy_axes(axes)
    return line


def _steps(curves: dict[str, Curve]) -> np.ndarray:
    return np.unique(np.concatenate([doses for doses, _, _ in curves.values()]))
