"""Grey and false-colour pictures of multi-channel images."""

import numpy as np

# Additive colours told apart with any colour vision better than pure red, green and blue,
# in steps of 1/5, which previews keep best.
CHANNEL_COLOURS = np.array(
    [(0.2, 0.4, 1.0), (0.0, 0.8, 0.4), (1.0, 0.4, 0.0), (1.0, 0.2, 0.8), (1.0, 0.8, 0.2), (0.2, 0.8, 1.0)],
    np.float32,
)
WHITE = np.ones((1, 3), np.float32)
LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.7
FULL_MIXTURE = 4  # more channels than this are dimmed, or everything would be white
GREY_STEPS = 31  # few enough that camera noise vanishes and previews stay small


def channel_colours(count: int) -> np.ndarray:
    """The colour of each channel, (channels, 3) float32 in [0, 1]; one channel alone is white."""
    if count == 1:
        return WHITE
    return CHANNEL_COLOURS[np.arange(count) % len(CHANNEL_COLOURS)]


def stretch(images: np.ndarray) -> np.ndarray:
    """Stretch the last axis' channels to [0, 1] between two percentiles taken over everything else.

    Parameters
    ----------
    images : (..., rows, cols, channels), any number type; a channel without contrast comes out as 0.

    Returns
    -------
    The same shape, float32, in steps of 1/31.
    """
    values = np.nan_to_num(np.asarray(images, np.float32), posinf=0, neginf=0)
    axes = tuple(range(values.ndim - 1))
    low, high = np.percentile(values, [LOW_PERCENTILE, HIGH_PERCENTILE], axis=axes)
    # A picture that is nearly all background has no contrast between the percentiles.
    high = np.where(high > low, high, values.max(axis=axes))
    contrast = np.where(high > low, high - low, np.inf)
    stretched = np.clip((values - low) / contrast, 0, 1)
    return (np.round(stretched * GREY_STEPS) / GREY_STEPS).astype(np.float32)


def composite(stretched: np.ndarray) -> np.ndarray:
    """Mix channels in [0, 1], (..., rows, cols, channels), into pictures (..., rows, cols, 3) in [0, 1]."""
    count = stretched.shape[-1]
    mixed = (stretched @ channel_colours(count)) * min(1.0, FULL_MIXTURE / count)
    # Where stains overlap the brightest component is brought back to 1, so the hue survives instead of
    # turning white.
    return (mixed / np.maximum(mixed.max(axis=-1, keepdims=True), 1)).astype(np.float32)


def shrink(image: np.ndarray, longest: int) -> np.ndarray:
    """Average blocks of pixels until the longer side is at most `longest`: (rows, cols, channels) float32.

    Rows and columns left over at the far edges are dropped (fewer than one block).
    """
    factor = -(-max(image.shape[:2]) // longest)
    rows, cols = (side // factor or 1 for side in image.shape[:2])
    if factor == 1 or min(image.shape[:2]) < factor:
        return np.asarray(image, np.float32)
    blocks = image[: rows * factor, : cols * factor].reshape(rows, factor, cols, factor, -1)
    return blocks.mean(axis=(1, 3), dtype=np.float32)
