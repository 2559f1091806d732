"""Every figure is a small PNG that depends on its data, whatever names and gaps the data have."""

import io
import warnings
from collections.abc import Callable, Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dp_assets.figures.contact_sheet import contact_sheet
from dp_assets.figures.crop_sheet import crop_sheet
from dp_assets.figures.dose_response import _collect, dose_response_figure
from dp_assets.figures.illumination import illumination_figure
from dp_assets.figures.plate_heatmap import plate_heatmap
from dp_assets.figures.preview import PREVIEW_BYTES
from dp_assets.figures.training_curves import training_curves

ODD_NAME = "_10 $\\mu$M {x} [y] % a name that is far too long for any label in a figure"


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def history(epochs: int) -> pd.DataFrame:
    steps = np.arange(1, epochs + 1)
    frame = pd.DataFrame(
        {"epoch": steps, "loss": 1 / steps, "accuracy": 1 - 0.5 / steps, "val_loss": 1.2 / steps}
    )
    frame.loc[frame["epoch"] % 2 == 0, "val_loss"] = np.nan
    return frame.assign(learning_rate=0.1, seconds=2.0)


def wells(rows: int, cols: int, seed: int = 0) -> dict[str, float]:
    values = np.random.default_rng(seed).random((rows, cols))
    return {f"{chr(65 + r)}{c + 1:02d}": float(values[r, c]) for r in range(rows) for c in range(cols)}


def doses(compounds: int, seed: int = 0) -> bytes:
    names = np.repeat([f"{ODD_NAME} {i}" if i else "compound" for i in range(compounds)], 8)
    return dose_response_figure(
        list(names),
        np.tile([0.1, 0.3, 1, 3, 10, 30, 100, 300], compounds),
        random(8 * compounds, seed=seed),
        control_distances=random(10) / 3,
    )


FIGURES: dict[str, Callable[[], bytes]] = {
    "illumination": lambda: illumination_figure(1 + random(30, 40, 3), ["DNA", ODD_NAME, "Mito"], "P1"),
    "illumination, full size, one channel": lambda: illumination_figure(
        1 + random(500, 300, 1), ["DNA"], ODD_NAME
    ),
    "illumination, all ones": lambda: illumination_figure(np.ones((30, 40, 2)), ["DNA", "RNA"], "P1"),
    "illumination, eight channels": lambda: illumination_figure(
        1 + random(30, 40, 8), list("abcdefgh"), "P1"
    ),
    "contact sheet of noise": lambda: contact_sheet(random(500, 700, 5), list("abcde"), ODD_NAME),
    "contact sheet, one flat channel": lambda: contact_sheet(np.zeros((64, 64, 1), np.uint8), ["DNA"], "P1"),
    "contact sheet, eight channels": lambda: contact_sheet(random(64, 90, 8), list("abcdefgh"), "P1"),
    "crops of noise": lambda: crop_sheet(
        random(96, 96, 96, 5), [f"{ODD_NAME[:9]} {i % 15}" for i in range(96)], list("abcde")
    ),
    "one crop": lambda: crop_sheet(random(1, 16, 16, 1), ["DMSO"], ["DNA"]),
    "no crops": lambda: crop_sheet(np.empty((0, 16, 16, 1), np.float32), [], ["DNA"]),
    "curves": lambda: training_curves(history(7)),
    "curves of one epoch": lambda: training_curves(history(1)),
    "curves of many epochs": lambda: training_curves(history(300)),
    "curves before the first epoch": lambda: training_curves(history(0)),
    "curves of NaN": lambda: training_curves(history(3).assign(loss=np.nan, val_loss=np.nan)),
    "plate of 96": lambda: plate_heatmap(wells(8, 12), ODD_NAME, ODD_NAME),
    "plate of 384": lambda: plate_heatmap(wells(16, 24), "P1", "cells"),
    "plate of 1536": lambda: plate_heatmap(wells(26, 48) | {"AF48": 3.0}, "P1", "cells"),
    "plate with one value": lambda: plate_heatmap({"A01": 7, "A02": float("nan")}, "P1", "cells"),
    "plate without values": lambda: plate_heatmap({}, "P1", "cells"),
    "wells without positions": lambda: plate_heatmap(
        {f"{ODD_NAME}{i}": float(i) for i in range(80)}, "P1", "cells"
    ),
    "three compounds": lambda: doses(3),
    "forty compounds": lambda: doses(26),
    "no positive dose": lambda: dose_response_figure(["a", "b"], np.array([0, np.nan]), np.ones(2)),
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


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES.keys())
def test_every_figure_is_a_preview_sized_picture_with_something_on_it(draw: Callable[[], bytes]) -> None:
    png = draw()
    assert len(png) <= PREVIEW_BYTES
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("L"))
    assert min(pixels.shape) >= 60
    assert (pixels < 128).sum() > 100
    assert draw() == png


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: illumination_figure(1 + random(30, 40, 3, seed=seed), list("abc"), "P1"),
        lambda seed: contact_sheet(random(64, 64, 3, seed=seed), list("abc"), "P1"),
        lambda seed: crop_sheet(random(6, 16, 16, 3, seed=seed), ["a"] * 6, list("abc")),
        lambda seed: training_curves(history(4 + seed)),
        lambda seed: plate_heatmap(wells(8, 12, seed), "P1", "cells"),
        lambda seed: doses(3, seed),
        lambda seed: doses(8, seed),
    ],
)
def test_other_data_give_another_figure(draw: Callable[[int], bytes]) -> None:
    assert draw(0) != draw(1)


def test_a_high_well_is_drawn_bright_and_in_its_place() -> None:
    values = dict.fromkeys(wells(8, 12), 0.0)
    with Image.open(io.BytesIO(plate_heatmap(values | {"B11": 1.0}, "P1", "cells"))) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    # The top of viridis is (253, 231, 37); the colour bar, to the right, holds it too.
    yellow = (np.abs(pixels - (253, 231, 37)).sum(axis=-1) < 40) & (
        np.arange(pixels.shape[1]) < 0.87 * pixels.shape[1]
    )
    row, col = np.argwhere(yellow).mean(axis=0) / pixels.shape[:2]
    assert 0.15 < row < 0.36
    assert 0.7 < col < 0.85


def test_correlation_is_spearmans_and_wells_without_a_dose_are_left_out() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(4)
    dose = np.tile([0.0, 1, 3, 10, np.nan], 6)
    distance = rng.random(30) + np.nan_to_num(dose) / 10
    series = {one.name: one for one in _collect(["a", "b"] * 15, dose, distance)}
    for name, offset in (("a", 0), ("b", 1)):
        chosen = [i for i in range(offset, 30, 2) if dose[i] > 0]
        ranks = [stats.rankdata(values[chosen]) for values in (dose, distance)]
        assert series[name].rho == pytest.approx(np.corrcoef(*ranks)[0, 1])
        assert len(series[name].doses) == len(chosen)


def test_correlation_is_undefined_for_one_dose() -> None:
    (series,) = _collect(["a", "a"], np.array([1.0, 1.0]), np.array([0.2, 0.4]))
    assert np.isnan(series.rho)
