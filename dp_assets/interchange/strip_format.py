"""What the strips of a dataset are like: taken from the first one, required of all others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dp_assets.config.errors import ImageFileError
from dp_assets.imaging.cropping import CropGeometry
from dp_assets.interchange.crop_list import CropList
from dp_assets.interchange.strips import read_strip

OWN, NOT_OWN = 255, 0


@dataclass(frozen=True)
class StripFormat:
    """What the strips of a dataset are like.

    Attributes
    ----------
    box_size : rows, and columns of each channel.
    channels : names in the order of the strip.
    has_mask : whether one more square follows: 255 on the cell's own pixels, 0 elsewhere.
    dtype : `uint8` or `uint16`.
    """

    box_size: int
    channels: tuple[str, ...]
    has_mask: bool
    dtype: str

    @property
    def planes(self) -> int:
        """Squares of a strip."""
        return len(self.channels) + self.has_mask

    @property
    def geometry(self) -> CropGeometry:
        """The strips are the crops: whole pixels, nothing around them."""
        return CropGeometry(self.box_size, "exact")


def strip_format(crops: CropList, channels: Sequence[str], box_size: int | None = None) -> StripFormat:
    """Take the format from the first strip that is there.

    Parameters
    ----------
    channels : names, in the order of the configuration that the dataset was exported with.
    box_size : what the configuration says, if it does.

    Raises
    ------
    ImageFileError : the strip is of another size, or has another number of channels; no strip is there.
    """
    folder = crops.path.parent
    first = next(
        (
            (name, line)
            for listed in crops.sites
            for name, line in zip(listed.images, listed.lines, strict=True)
            if (folder / name).exists()
        ),
        None,
    )
    if first is None:
        raise ImageFileError(
            f"none of the images of {sum(len(listed.images) for listed in crops.sites)} cells is there",
            where=str(folder),
            remedy=f"keep the images below the folder of {crops.path.name}",
        )
    strip = read_strip(folder / first[0], box_size)
    extra = strip.shape[2] - len(channels)
    if extra not in (0, 1):
        raise ImageFileError(
            f"the image has {strip.shape[2]} channels of {strip.shape[0]} pixels; the configuration has "
            f"{len(channels)}: {', '.join(channels)}",
            where=f"{folder / first[0]} ({crops.path.name}, line {first[1]})",
            remedy="name in dataset.images.channels the channels of the dataset, in its order "
            "(one more square at the end is taken for the mask)",
        )
    return StripFormat(strip.shape[0], tuple(channels), extra == 1, str(strip.dtype))


def read_alike(path: Path, form: StripFormat) -> np.ndarray:
    """Read a strip of a dataset, (box, box, squares).

    Raises
    ------
    ImageFileError : as `read_strip`; or it is of another format, or its last square is no mask.
    """
    strip = read_strip(path, form.box_size)
    if strip.shape[2] != form.planes or str(strip.dtype) != form.dtype:
        raise ImageFileError(
            f"the image has {strip.shape[2]} squares of type {strip.dtype}; the first one of the dataset has "
            f"{form.planes} of type {form.dtype}",
            where=str(path),
            remedy="replace it, or take its row out of the list",
        )
    if form.has_mask and not np.isin(strip[..., -1], (NOT_OWN, OWN)).all():
        raise ImageFileError(
            f"the last square is taken for the mask, but holds other values than {NOT_OWN} and {OWN}",
            where=str(path),
            remedy="name in dataset.images.channels as many channels as the dataset has",
        )
    return strip
