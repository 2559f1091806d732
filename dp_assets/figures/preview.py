"""Pictures small enough to be stored with an asset's metadata."""

import base64
import io
from functools import cache
from itertools import product

from PIL import Image

PREVIEW_BYTES = 50_000
# Tried in turn until the picture fits. Charts: number of colours, then size.
CHART_STEPS = ((256, 1.0), (128, 1.0), (64, 1.0), (64, 0.85), (48, 0.7), (32, 0.5), (16, 0.3), (8, 0.08))
# Photographs: steps of each colour and of grey, then size.
PHOTOGRAPH_STEPS = (
    (6, 32, 1.0),
    (5, 16, 1.0),
    (5, 16, 0.85),
    (4, 16, 0.7),
    (4, 12, 0.5),
    (3, 8, 0.3),
    (2, 4, 0.08),
)


def fit_preview(png: bytes, limit: int = PREVIEW_BYTES, *, photographs: bool = False) -> bytes:
    """Make a PNG no larger than `limit` bytes: fewer colours first, then fewer pixels.

    A picture that fits already is returned as it is.

    Parameters
    ----------
    png : the picture.
    limit : bytes.
    photographs : whether it is mostly images of cells. Those get a regular palette, which swallows noise and
        keeps the colours of channels; charts get colours fitted to them, which keeps colour scales smooth.

    Raises
    ------
    ValueError : the limit cannot be met even at the coarsest step.
    """
    if len(png) <= limit:
        return png
    with Image.open(io.BytesIO(png)) as opened:
        picture = opened.convert("RGB")
    for *colours, factor in PHOTOGRAPH_STEPS if photographs else CHART_STEPS:
        size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
        resized = picture if factor == 1 else picture.resize(size, Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        _reduce_colours(resized, *map(int, colours)).save(stream, format="PNG", optimize=True)
        if stream.tell() <= limit:
            return stream.getvalue()
    raise ValueError(f"Expected a limit that a small picture can meet. Received {limit} bytes.")


def as_markdown(png: bytes, alt: str) -> str:
    """A PNG as a Markdown image with the bytes inside; `alt` is read where pictures are not shown."""
    text = alt.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace("\n", " ")
    return f"![{text}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})"


def _reduce_colours(picture: Image.Image, colours: int, greys: int | None = None) -> Image.Image:
    if greys is None:
        return picture.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return picture.quantize(palette=_regular_palette(colours, greys), dither=Image.Dither.NONE)


@cache
def _regular_palette(colour_steps: int, grey_steps: int) -> Image.Image:
    """Evenly spaced colours and greys, at most 256, as the palette image that Pillow asks for."""
    colours = [round(255 * i / (colour_steps - 1)) for i in range(colour_steps)]
    greys = [round(255 * i / (grey_steps - 1)) for i in range(grey_steps)]
    entries = [*product(colours, repeat=3), *((grey, grey, grey) for grey in greys)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for entry in entries for value in entry])
    return palette
