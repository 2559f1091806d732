"""Every figure of profiles and scores is a small PNG that depends on its data, whatever names and gaps."""

import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dp_assets.figures.canvas import RICH_BYTES
from dp_assets.figures.confusion import confusion_figure
from dp_assets.figures.dose_activity import _collect, dose_activity_figure
from dp_assets.figures.first_hits import first_hit_bars
from dp_assets.figures.odds_ratios import _swarm, odds_ratio_figure
from dp_assets.figures.plate_grid import plate_categories, plate_heatmaps
from dp_assets.figures.probe_bars import probe_bars
from dp_assets.figures.profile_map import profile_map, profile_map_panels
from dp_assets.figures.replicate_null import replicate_null_figure
from dp_assets.figures.score_bars import score_bars
from dp_assets.figures.score_curves import enrichment_figure, precision_recall_figure
from dp_assets.figures.score_scatter import score_scatter
from dp_assets.figures.similarity_clustermap import _blocks, similarity_clustermap
from dp_assets.figures.sweep_curve import judged_by_the_other, sweep_curve

ODD = "_10 $\\mu$M {x} [y] % <b> a name that is far too long for any label in a figure"
LAMBDAS = (0.1, 0.01, 0.001)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def names(count: int, kinds: int, seed: int = 0) -> np.ndarray:
    return np.array([ODD if i == 0 else f"name {i}" for i in rng(seed).integers(0, kinds, count)], object)


def maps(rows: int, seed: int = 0) -> bytes:
    places = rng(seed).normal(size=(rows, 2)).astype(np.float32)
    places[rows // 2, 0] = np.nan if rows > 2 else 0
    numbers = rng(seed).random(rows)
    numbers[0] = np.nan
    colourings = {
        ODD: names(rows, 12),
        "plate": np.array([f"P{i}" for i in range(rows)]),
        "control": np.where(numbers > 0.5, "control", "treated"),
        "none": np.array([""] * rows),
        "cells": numbers,
        "nsc": numbers > 0.3,
    }
    return profile_map(places, colourings, ODD)


def panels(rows: int, labels: int, seed: int = 0) -> bytes:
    multiple = np.array([f"{name}|b" for name in names(rows, labels)], object)
    return profile_map_panels(rng(seed).normal(size=(rows, 2)), multiple, "UMAP", separator="|")


def clustermap(count: int, seed: int = 0) -> bytes:
    profiles = rng(seed).normal(size=(count, 9))
    unit = profiles / np.linalg.norm(profiles, axis=1, keepdims=True)
    labels = names(count, max(2, count // 8))
    return similarity_clustermap(unit @ unit.T, [f"{ODD[:20]} {i}" for i in range(count)], labels)


def plates(count: int, rows: int, cols: int, seed: int = 0) -> dict[str, dict[str, float]]:
    def wells(plate: int) -> dict[str, float]:
        values = rng(seed + plate).lognormal(size=(rows, cols))
        values[0, 0] = np.nan
        return {f"{chr(65 + r)}{c + 1:02d}": float(values[r, c]) for r in range(rows) for c in range(cols)}

    return {f"{ODD[:9]}{plate}": wells(plate) for plate in range(count)}


def layouts(count: int, kinds: int) -> dict[str, dict[str, str]]:
    return {
        plate: {well: str(names(1, kinds, seed=i)[0]) for i, well in enumerate(wells)}
        for plate, wells in plates(count, 8, 12).items()
    }


def curves(count: int, seed: int = 0) -> dict[str, pd.DataFrame]:
    recall = np.linspace(1, 0, 50)
    return {
        f"{ODD[:24]} {i}": pd.DataFrame({"recall": recall, "precision": rng(seed + i).random(50)})
        for i in range(count)
    }


def enrichments(count: int, seed: int = 0) -> dict[str, pd.DataFrame]:
    tops = [0.5, 1, 2, 5, 10, 20]
    folds = [[np.nan, *rng(seed + i).lognormal(1, 1, 4), 0.0] for i in range(count)]
    return {f"e{i}": pd.DataFrame({"top_percent": tops, "folds": folds[i]}) for i in range(count)}


def scores(seed: int = 0, offset: float = 0) -> list[dict[str, Any]]:
    shares = rng(seed).random(6) * 0.5
    found = [
        {"name": f"{ODD[:12]}{i}", "value": v, "low": v - 0.1, "high": v + 0.2, "n": 9, "chance": 0.1}
        for i, v in enumerate(shares)
    ]
    nothing = {"name": "none", "value": None, "low": None, "high": None, "n": 0, "chance": None}
    folds = {"name": "folds", "value": 26.5 + offset, "low": np.nan, "high": None, "n": 8, "chance": 1.0}
    return [*found, nothing, folds, {"name": "hits", "value": 0.0, "n": 8, "details": {"fraction": 0.0}}]


def trials(splits: int, seed: int = 0) -> pd.DataFrame:
    rows = []
    for split, half in [(-1, "all"), *((i, half) for i in range(splits) for half in ("first", "second"))]:
        values = rng(seed + split + 1 + 100 * (half == "second")).random(len(LAMBDAS))
        for regularization, value in zip(LAMBDAS, values, strict=True):
            rows.append(
                {
                    "regularization": regularization,
                    "score": "map",
                    "half": half,
                    "split": split,
                    "value": float(value),
                    "n": 20,
                    "chosen": bool(value == values.max()),
                }
            )
    return pd.DataFrame(rows)


def doses(compounds: int, seed: int = 0) -> bytes:
    steps = np.tile([0, 0.1, 0.3, 1, 3, 10], compounds).astype(float)
    values = rng(seed).random(len(steps))
    named = np.repeat([f"{ODD} {i}" if i else "compound" for i in range(compounds)], 6)
    return dose_activity_figure(named, steps, values, significant=values > 0.5, chance=0.2)


def confusions(count: int, seed: int = 0, shares: bool = False) -> bytes:
    labels = [f"{ODD} {i}" for i in range(count)]
    values = rng(seed).integers(0, 5, (count, count))
    table = pd.DataFrame(values, labels, labels)
    return confusion_figure(table / table.sum(axis=1).max() if shares else table)


def probes(classes: int, seed: int = 0) -> bytes:
    recalls = rng(seed).random((classes, 3))
    recalls[0] = np.nan
    described = {"class": [f"{ODD} {i}" for i in range(classes)], "wells": np.arange(classes) + 2}
    recalled = dict(zip(("recall_forest", "recall_logistic", "recall_knn"), recalls.T, strict=True))
    return probe_bars(pd.DataFrame({**described, **recalled}))


def intervals(count: int, seed: int = 0) -> dict[str, tuple[float, float, float]]:
    values = rng(seed).random(count)
    return {f"{ODD[:9]}{i}": (v, v - 0.1, v + 0.1 if i else np.nan) for i, v in enumerate(values)}


def hits(experiments: int, seed: int = 0) -> dict[str, dict[str, tuple[int, int]]]:
    def levels(place: int) -> dict[str, tuple[int, int]]:
        counts = rng(seed + place).integers(0, 90, 3)
        return {"treatment": (int(counts[0]), 90), "well": (int(counts[1]), 90), "cell": (0, 0)}

    return {f"{ODD[:9]}{i}": levels(i) for i in range(experiments)}


def ratios(experiments: int, queries: int, seed: int = 0) -> dict[str, np.ndarray]:
    return {
        f"e{i}": np.append(rng(seed + i).exponential(9, queries) * (rng(i).random(queries) < 0.5), np.nan)
        for i in range(experiments)
    }


FIGURES: dict[str, Callable[[int], bytes]] = {
    "maps": lambda seed: maps(103, seed),
    "maps of many": lambda seed: maps(1500, seed),
    "map of one": lambda seed: profile_map(np.zeros((1, 2)), {"a": ["x" * (seed + 1)]}, "UMAP"),
    "panels": lambda seed: panels(103, 12, seed),
    "panels of many": lambda seed: panels(1000, 30, seed),
    "clustermap with names": lambda seed: clustermap(40, seed),
    "clustermap": lambda seed: clustermap(103, seed),
    "clustermap of many": lambda seed: clustermap(500, seed),
    "clustermap of two": lambda seed: similarity_clustermap(np.full((2, 2), seed / 2), ["a", "b"], ["", ""]),
    "one plate": lambda seed: plate_heatmaps(plates(1, 8, 12, seed), ODD, "cells"),
    "four plates of 384": lambda seed: plate_heatmaps(plates(4, 16, 24, seed), "P", ODD),
    "many plates": lambda seed: plate_heatmaps(plates(25, 8, 12, seed), "P", "cells"),
    "layout": lambda seed: plate_categories(layouts(1, 9 + seed), "Treatments"),
    "layouts on a scale": lambda seed: plate_categories(layouts(3, 90 + seed), "Treatments"),
    "precision and recall": lambda seed: precision_recall_figure(curves(3, seed), chance=0.1),
    "many experiments": lambda seed: precision_recall_figure(curves(9, seed), counts={f"{ODD[:24]} 1": 9}),
    "enrichment": lambda seed: enrichment_figure(enrichments(2, seed), marked=1.0),
    "odds ratios": lambda seed: odds_ratio_figure(ratios(3, 849, seed)),
    "odds ratios of one": lambda seed: odds_ratio_figure({"a": np.array([3.0 + seed])}),
    "scatter": lambda seed: score_scatter(intervals(4, seed), intervals(4, seed + 9), ("mAP", ODD)),
    "first hits": lambda seed: first_hit_bars(hits(3, seed)),
    "replicates": lambda seed: replicate_null_figure(rng(seed).random(80), rng(1).random(200) / 3, 0.3),
    "replicates, all alike": lambda seed: replicate_null_figure(np.full(3, 0.1 * seed), np.array([]), np.nan),
    "confusion": lambda seed: confusions(12, seed),
    "confusion of shares": lambda seed: confusions(30, seed, shares=True),
    "confusion of many": lambda seed: confusions(104, seed),
    "sweep": lambda seed: sweep_curve(trials(5, seed), 0.01),
    "sweep without halves": lambda seed: sweep_curve(trials(0, seed)),
    "scores": lambda seed: score_bars({"a": scores(seed)}),
    "scores of many": lambda seed: score_bars({f"{ODD[:9]}{i}": scores(seed, i) for i in range(9)}),
    "doses": lambda seed: doses(3, seed),
    "doses of many": lambda seed: doses(8, seed),
    "probes": lambda seed: probes(12, seed),
    "probes of many classes": lambda seed: probes(42, seed),
}
NOTHING: dict[str, Callable[[], bytes]] = {
    "map": lambda: profile_map(np.full((2, 2), np.nan), {"a": ["x", "y"]}, "UMAP"),
    "panels": lambda: profile_map_panels(np.zeros((2, 2)), ["", ""], "UMAP"),
    "clustermap": lambda: similarity_clustermap(np.zeros((0, 0)), [], []),
    "plates": lambda: plate_heatmaps({"P1": {"A01": np.nan}}, "P", "cells"),
    "layout": lambda: plate_categories({"P1": {"control": "x"}}, "P"),
    "curves": lambda: precision_recall_figure({}),
    "enrichment": lambda: enrichment_figure({"a": pd.DataFrame({"top_percent": [1.0], "folds": [np.nan]})}),
    "odds ratios": lambda: odds_ratio_figure({"a": np.array([np.nan])}),
    "scatter": lambda: score_scatter({"a": (1.0, 0, 2)}, {}, ("x", "y")),
    "first hits": lambda: first_hit_bars({"a": {"well": (0, 0)}}),
    "replicates": lambda: replicate_null_figure(np.array([np.nan]), np.array([0.1]), 0.1),
    "confusion": lambda: confusion_figure(pd.DataFrame()),
    "sweep": lambda: sweep_curve(trials(1).assign(value=np.nan)),
    "scores": lambda: score_bars({"a": [{"name": "x", "value": None}]}),
    "doses": lambda: dose_activity_figure(["a"], np.zeros(1), np.ones(1)),
    "probes": lambda: probe_bars(pd.DataFrame({"class": [], "wells": []})),
}


@pytest.fixture(autouse=True)
def _drawing_is_silent_and_leaves_no_trace() -> Iterator[None]:
    before = dict(mpl.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The collector may run here and find what other tests left open.
        warnings.simplefilter("default", ResourceWarning)
        yield
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_small_repeatable_and_depends_on_its_data(name: str) -> None:
    draw = FIGURES[name]
    png = draw(0)
    assert len(png) <= RICH_BYTES
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("L"))
    # Wide enough to be read: nothing was shrunk to fit.
    assert pixels.shape[1] >= 380
    assert (pixels < 128).sum() > 100
    assert draw(1) != png
    if "many" not in name:
        assert draw(0) == png


@pytest.mark.parametrize("draw", NOTHING.values(), ids=NOTHING.keys())
def test_where_there_is_nothing_to_draw_the_figure_says_so(draw: Callable[[], bytes]) -> None:
    with Image.open(io.BytesIO(draw())) as picture:
        assert picture.size[1] < 200
        assert (np.asarray(picture.convert("L")) < 128).sum() > 50


def pixels_of(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def share_of(png: bytes, colour: tuple[int, int, int]) -> float:
    return float((np.abs(pixels_of(png) - colour).sum(axis=-1) < 12).mean())


def test_plates_share_one_colour_scale() -> None:
    wells = {f"{chr(65 + r)}{c + 1:02d}": 0.0 for r in range(8) for c in range(12)}
    png = plate_heatmaps({"low": wells, "high": dict.fromkeys(wells, 1.0)}, "P", "cells")
    # The ends of viridis, each on one of the two plates.
    dark, bright = share_of(png, (68, 1, 84)), share_of(png, (253, 231, 37))
    assert dark > 0.2
    assert bright == pytest.approx(dark, rel=0.1)


def test_missing_wells_differ_from_places_without_a_well() -> None:
    wells = {f"{chr(65 + r)}{c + 1:02d}": float(c) for r in range(8) for c in range(12)}
    missing = plate_heatmaps({"P1": {w: np.nan if w < "E" else v for w, v in wells.items()}}, "P", "cells")
    absent = plate_heatmaps({"P1": {w: v for w, v in wells.items() if w >= "E"} | {"A01": 1.0}}, "P", "cells")
    grey = (201, 208, 215)
    assert share_of(missing, grey) > 0.15
    assert share_of(absent, grey) < 0.01


def test_a_category_is_drawn_in_its_place() -> None:
    wells = {f"{chr(65 + r)}{c + 1:02d}": "treated" for r in range(8) for c in range(12)}
    pixels = pixels_of(plate_categories({"P1": wells | {"B11": "control"}}, "P"))
    # The blue of treated wells marks the plate; the legend is right of it.
    blue = np.abs(pixels - (86, 180, 233)).sum(axis=-1) < 12
    cols = np.flatnonzero(blue.sum(axis=0) > 100)
    rows = np.flatnonzero(blue.sum(axis=1) > 100)
    plate = pixels[rows[0] : rows[-1], cols[0] : cols[-1]]
    row, col = np.argwhere(np.abs(plate - (31, 41, 51)).sum(axis=-1) < 12).mean(axis=0) / plate.shape[:2]
    assert row == pytest.approx(1.5 / 8, abs=0.01)
    assert col == pytest.approx(10.5 / 12, abs=0.01)


def test_the_clustermap_puts_alike_treatments_side_by_side() -> None:
    group = np.arange(120) % 3
    similarity = np.where(group[:, None] == group, 1.0, -1.0)
    pixels = pixels_of(similarity_clustermap(similarity, names(120, 5), names(120, 5)))
    # Three square blocks on the diagonal hold all the red: in the rows of a block it is a third of the width.
    red, blue = ((np.abs(pixels - c).sum(axis=-1) < 30) for c in ((103, 0, 31), (5, 48, 97)))
    rows = np.flatnonzero((red | blue).sum(axis=1) > 300)
    for share in (0.17, 0.5, 0.83):
        line = red[rows[int(share * len(rows))]]
        assert line.sum() == pytest.approx(len(rows) / 3, rel=0.05)
        assert np.ptp(np.flatnonzero(line)) == pytest.approx(len(rows) / 3, rel=0.05)


def test_large_matrices_are_averaged_over_blocks() -> None:
    matrix = rng(0).random((500, 500))
    np.testing.assert_allclose(_blocks(matrix), matrix.reshape(250, 2, 250, 2).mean(axis=(1, 3)))
    uneven = _blocks(rng(0).random((333, 333)))
    assert uneven.shape == (250, 250)
    np.testing.assert_array_equal(_blocks(matrix[:200, :200]), matrix[:200, :200])


def test_points_of_a_swarm_keep_their_row_and_do_not_coincide() -> None:
    values = np.concatenate([np.zeros(300), rng(0).exponential(2, 300)])
    offsets = _swarm(values)
    assert np.abs(offsets).max() <= 0.38 + 1e-9
    assert len(set(zip(values, offsets, strict=True))) == 600


def test_halves_are_judged_with_the_lambda_that_the_other_chose() -> None:
    table = trials(6)
    halves = table[table["half"] != "all"]
    found = judged_by_the_other(halves)
    assert len(found) == 12
    for row in found.itertuples():
        of_split = halves[halves["split"] == row.split]
        other = of_split[of_split["half"] != row.half]
        best = other.loc[other["value"].idxmax(), "regularization"]
        assert row.regularization == best
        own = of_split[(of_split["half"] == row.half) & (of_split["regularization"] == best)]
        assert row.value == own["value"].item()


def test_doses_are_sorted_and_treatments_without_one_left_out() -> None:
    curve = _collect(
        ["a", "a", "b", "a", "a"],
        np.array([3.0, 1, 1, 0, np.nan]),
        np.array([0.3, 0.1, np.nan, 0.5, 0.6]),
        np.array([True, False, True, True, True]),
    )
    assert list(curve) == ["a"]
    assert [part.tolist() for part in curve["a"]] == [[1, 3], [0.1, 0.3], [False, True]]
