"""Previews stay below their size, keep their colours, and arrive in Markdown byte for byte."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from dp_assets.figures.preview import PREVIEW_BYTES, as_markdown, fit_preview


def as_png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def pixels_of(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_small_picture_is_returned_untouched() -> None:
    png = as_png(np.zeros((20, 30, 3), np.uint8))
    assert fit_preview(png) is png


@pytest.mark.parametrize("photographs", [False, True])
@pytest.mark.parametrize("limit", [PREVIEW_BYTES, 10_000, 2_000])
def test_pure_noise_is_brought_below_the_limit_and_keeps_its_proportions(
    limit: int, photographs: bool
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 600, 3), dtype=np.uint8)
    png = fit_preview(as_png(noise), limit, photographs=photographs)
    height, width = pixels_of(png).shape[:2]
    assert len(png) <= limit
    assert width / height == pytest.approx(2, rel=0.05)


def test_a_patch_of_colour_in_a_grey_picture_keeps_its_colour() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (300, 300, 1), dtype=np.uint8).repeat(3, axis=2)
    grey[10:20, 10:20] = (255, 51, 204)
    png = fit_preview(as_png(grey), 60_000, photographs=True)
    assert len(png) < len(as_png(grey))
    assert np.abs(pixels_of(png)[15, 15] - np.array((255, 51, 204))).max() <= 16


def test_a_colour_scale_in_a_chart_stays_smooth() -> None:
    ramp = np.linspace(0, 255, 600).astype(np.uint8)
    chart = np.stack([ramp, 255 - ramp, ramp // 2 + 60], axis=-1)[None].repeat(300, axis=0)
    chart[150:] = np.random.default_rng(0).integers(0, 2, (150, 600, 1), dtype=np.uint8) * 255
    before = as_png(chart)
    after = fit_preview(before, len(before) - 1)
    assert len(after) < len(before)
    assert np.abs(pixels_of(after)[:150].astype(int) - chart[:150]).mean() < 3


def test_a_limit_below_any_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="10 bytes"):
        fit_preview(as_png(np.zeros((20, 30, 3), np.uint8)), 10)


def test_markdown_holds_the_same_bytes_and_a_harmless_text() -> None:
    png = as_png(np.zeros((4, 5, 3), np.uint8))
    markdown = as_markdown(png, "plate [1]\nwell")
    match = re.fullmatch(r"!\[(.*)\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert match is not None
    assert match[1] == r"plate \[1\] well"
    assert base64.b64decode(match[2]) == png
