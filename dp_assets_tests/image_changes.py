"""Changing image files behind the back of what was made from them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from upath import UPath

from dp_assets.storage.image_sites import ImageSite


def site_pixels(site: ImageSite) -> np.ndarray:
    """The images of a site, (rows, cols, channels), read by tifffile alone."""
    return np.stack([tifffile.imread(str(path)) for path in site.images], axis=-1)


def overwrite(path: Path | UPath, pixels: np.ndarray) -> None:
    """Put another image in the place of a file."""
    tifffile.imwrite(str(path), pixels)


def brighten(path: Path | UPath) -> None:
    """Make every pixel of an image one grey level brighter."""
    overwrite(path, tifffile.imread(str(path)) + 1)


def unchecked(sites: Sequence[ImageSite]) -> list[ImageSite]:
    """The sites as if nobody knew what their files must be: damage is found by decoding only."""
    return [replace(site, contents=()) for site in sites]


def tear(site: ImageSite, channel: int = 0) -> None:
    """Cut off the file of one channel."""
    path = site.images[channel]
    path.write_bytes(path.read_bytes()[:300])
