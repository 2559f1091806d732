"""Figures of checks: small PNGs, whatever they are given."""

import io

import numpy as np
import pytest
from PIL import Image

from dp_assets.figures.cell_positions import centres_on_image, centres_outside
from dp_assets.figures.channel_fit import channel_fit
from dp_assets.figures.named_bars import named_bars
from dp_assets.figures.preview import PREVIEW_BYTES

RNG = np.random.default_rng(0)


def opened(png: bytes) -> np.ndarray:
    assert len(png) <= PREVIEW_BYTES
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


@pytest.mark.parametrize("channels", [2, 5, 12])
def test_channel_fit(channels: int) -> None:
    names = [f"a channel with a long name {number}" for number in range(channels)]
    first = opened(channel_fit(RNG.random((channels, channels)), names, "P1", "earlier plates"))
    assert first.std() > 10
    opened(channel_fit(np.zeros((channels, channels)), names, "P1", "earlier plates"))


@pytest.mark.parametrize("shape", [(64, 64), (2160, 2560), (100, 1000)])
def test_centres_are_drawn_on_the_image(shape: tuple[int, int]) -> None:
    image = RNG.integers(0, 4000, shape).astype(np.uint16)
    centres = RNG.random((300, 2)) * shape
    drawn = opened(centres_on_image(image, centres, "P1, A01"))
    # Orange marks on grey: where red is far above blue.
    assert ((drawn[..., 0] - drawn[..., 2]) > 80).sum() > 300


def test_centres_outside_are_drawn_in_another_colour() -> None:
    centres = np.concatenate([RNG.random((5000, 2)) * 100, RNG.random((40, 2)) * 100 + 120])
    inside = np.arange(5040) < 5000
    drawn = opened(centres_outside(centres, inside, (100, 110), "P1"))
    is_outside_colour = (drawn[..., 0] > 180) & (drawn[..., 1] < 130) & (drawn[..., 2] < 60)
    assert is_outside_colour.sum() > 100


@pytest.mark.parametrize("count", [0, 1, 30, 500])
def test_named_bars(count: int) -> None:
    values = {f"plate {number}": float(number) for number in range(count)}
    opened(named_bars(values, "Drift", "times", limit=3))
    opened(named_bars(values, "Drift", "times"))
