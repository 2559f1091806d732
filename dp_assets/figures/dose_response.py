"""How far wells move away from the controls as the dose rises."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from scipy.stats import spearmanr

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

TITLE = "Dose response"
MOST_SERIES = 6  # more compounds than this get a panel each
MOST_PANELS = 24
PANEL_COLUMNS = 6
BAND = (5.0, 95.0)  # percentiles of the controls that are shaded


@dataclass(frozen=True)
class _Series:
    """One compound: doses and distances of its wells, sorted by dose; Spearman's rho, NaN where undefined."""

    name: str
    doses: np.ndarray
    distances: np.ndarray
    rho: float


def dose_response_figure(
    compounds: Sequence[str],
    doses: np.ndarray,
    distances: np.ndarray,
    *,
    control_distances: np.ndarray | None = None,
    unit: str = "µM",
    distance_name: str = "distance from controls",
) -> bytes:
    """Distance of well profiles from the controls by dose, one series a compound.

    Parameters
    ----------
    compounds : compound of each well, (n,).
    doses : (n,) in `unit`; wells without a positive dose have no place on the axis and are left out.
    distances : (n,), how far each well profile is from the controls.
    control_distances : the same for control wells: their median and 5 to 95 % range are drawn as a band.
    unit : of the doses.
    distance_name : label of the vertical axis.

    Returns
    -------
    PNG bytes: points are wells, the line joins the medians of each dose; Spearman's rank correlation of
    distance with dose stands beside the compound's name. Up to 6 compounds share one chart; more get a panel
    each, the 24 with the strongest correlation.
    """
    series = _collect(compounds, np.asarray(doses, float), np.asarray(distances, float))
    if not series:
        return message_figure(TITLE, "No well has a positive dose and a finite distance.")
    controls = np.asarray([] if control_distances is None else control_distances, float)
    controls = controls[np.isfinite(controls)]
    if len(series) <= MOST_SERIES:
        return _one_chart(series, controls, unit, distance_name)
    return _panels(series, controls, unit, distance_name)


def _collect(compounds: Sequence[str], doses: np.ndarray, distances: np.ndarray) -> list[_Series]:
    names = np.asarray(compounds, dtype=object)
    usable = np.isfinite(doses) & (doses > 0) & np.isfinite(distances)
    series = []
    for name in dict.fromkeys(names[usable]):
        chosen = np.flatnonzero(usable & (names == name))
        chosen = chosen[np.argsort(doses[chosen], kind="stable")]
        x, y = doses[chosen], distances[chosen]
        defined = len(np.unique(x)) > 1 and len(np.unique(y)) > 1
        series.append(_Series(str(name), x, y, float(spearmanr(x, y).statistic) if defined else float("nan")))
    return series


def _one_chart(series: Sequence[_Series], controls: np.ndarray, unit: str, distance_name: str) -> bytes:
    figure = new_figure(6.6, 3.5)
    set_title(figure, TITLE)
    axes = figure.add_subplot()
    _draw_controls(axes, controls, labelled=True)
    for i, one in enumerate(series):
        _draw_series(axes, one, SERIES_COLOURS[i])
    finish_dose_axes(axes, _all_doses(series), most_ticks=8)
    axes.set_xlabel(f"dose ({plain(unit)}, log scale)")
    axes.set_ylabel(plain(distance_name))
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside right upper",
        frameon=False,
        fontsize=SMALL_SIZE,
        labelcolor=INK,
    )
    return to_png(figure)


def _panels(series: Sequence[_Series], controls: np.ndarray, unit: str, distance_name: str) -> bytes:
    ranked = sorted(series, key=lambda one: -abs(one.rho) if np.isfinite(one.rho) else 1.0)
    shown = ranked[:MOST_PANELS]
    columns = min(PANEL_COLUMNS, len(shown))
    lines = -(-len(shown) // columns)
    figure = new_figure(1.55 * columns + 0.5, 1.4 * lines + 0.8)
    left_out = f" ({len(shown)} of {len(series)} compounds)" if len(series) > len(shown) else ""
    set_title(figure, TITLE + left_out)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    for axes, one in zip(panels, shown, strict=False):
        _draw_controls(axes, controls, labelled=False)
        _draw_series(axes, one, SERIES_COLOURS[0])
        axes.set_title(
            f"{plain(one.name)}\n{_rho_text(one)}", fontsize=SMALL_SIZE, color=INK, loc="left", pad=3
        )
    for axes in panels[: len(shown)]:
        finish_dose_axes(axes, _all_doses(shown), most_ticks=4)
    figure.supxlabel(f"dose ({plain(unit)}, log scale)", fontsize=LABEL_SIZE, color=INK)
    figure.supylabel(plain(distance_name), fontsize=LABEL_SIZE, color=INK)
    return to_png(figure)


def _draw_controls(axes: Axes, controls: np.ndarray, *, labelled: bool) -> None:
    if not len(controls):
        return
    low, high = np.percentile(controls, BAND)
    axes.axhspan(
        low, high, color=RULE, alpha=0.7, lw=0, label="controls (5\N{EN DASH}95 %)" if labelled else None
    )
    axes.axhline(float(np.median(controls)), color=QUIET, lw=1, ls=":")


def _draw_series(axes: Axes, one: _Series, colour: str) -> None:
    axes.plot(one.doses, one.distances, "o", color=colour, ms=4, alpha=0.55, mec="none")
    steps = np.unique(one.doses)
    medians = [float(np.median(one.distances[one.doses == step])) for step in steps]
    axes.plot(steps, medians, "-", color=colour, lw=1.9, label=f"{plain(one.name)}  {_rho_text(one)}")


def _rho_text(one: _Series) -> str:
    return (
        f"\N{GREEK SMALL LETTER RHO} = {one.rho:.2f}"
        if np.isfinite(one.rho)
        else "\N{GREEK SMALL LETTER RHO} undefined"
    )


def _all_doses(series: Sequence[_Series]) -> np.ndarray:
    return np.unique(np.concatenate([one.doses for one in series]))


def finish_dose_axes(axes: Axes, steps: np.ndarray, most_ticks: int) -> None:
    """A logarithmic axis of doses; `steps` are the different ones, ticks as long as there are few."""
    axes.set_xscale("log")
    if len(steps) <= most_ticks:
        axes.set_xticks(steps)
    else:
        axes.xaxis.set_major_locator(LogLocator(numticks=most_ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.margins(x=0.08, y=0.08)
    tidy_axes(axes)
