"""One field of view: every channel beside the false-colour composite of all."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_hex

from dp_assets.figures.canvas import INK, LABEL_SIZE, new_figure, plain, set_title, to_png
from dp_assets.figures.false_colour import channel_colours, composite, shrink, stretch

PANEL = 1.6  # inches
MOST_COLUMNS = 5
LEAST_WIDTH = 3.2
LONGEST_SIDE = 200


def contact_sheet(image: np.ndarray, channels: Sequence[str], title: str) -> bytes:
    """A panel for each channel in grey, and one for their mixture in colour.

    Parameters
    ----------
    image : (rows, cols, channels), any grey levels; each channel is stretched between two percentiles of its
        own.
    channels : names, in order.
    title : what the picture shows, such as plate, well and site.

    Returns
    -------
    PNG bytes. The square before a channel's name is its colour in the mixture.
    """
    stretched = stretch(shrink(image, LONGEST_SIDE))
    pictures = [stretched[..., i] for i in range(stretched.shape[-1])]
    if len(pictures) > 1:
        pictures.append(composite(stretched))
    names = [*channels, "All channels"]
    colours = [to_hex(colour) for colour in channel_colours(len(channels))]
    columns = min(len(pictures), MOST_COLUMNS)
    lines = -(-len(pictures) // columns)
    aspect = stretched.shape[0] / stretched.shape[1]
    figure = new_figure(max(columns * PANEL + 0.2, LEAST_WIDTH), lines * (PANEL * aspect + 0.32) + 0.4)
    set_title(figure, title)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
        axes.set_anchor("NW")
    for i, (axes, picture) in enumerate(zip(panels, pictures, strict=False)):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        is_mixed_in = len(pictures) > 1 and i < len(channels)
        indent = 0.1 if is_mixed_in else 0.0
        if is_mixed_in:
            axes.text(
                0,
                1.03,
                "\N{BLACK SQUARE}",
                color=colours[i],
                fontsize=LABEL_SIZE + 2,
                transform=axes.transAxes,
            )
        axes.text(
            indent,
            1.035,
            plain(names[i]),
            color=INK,
            fontsize=LABEL_SIZE,
            fontweight="bold",
            transform=axes.transAxes,
        )
    return to_png(figure, photographs=True)
