"""Masks: which pixels of a crop belong to the cell in its middle; all others become 0 before normalisation.

Objects come from an outline image or from a label image of the field of view (`object_labels`). A cell's
object is the median label of the 10 x 10 pixels around its centre. Between the outlines, the outermost region
is an object like any other, as in DeepProfiler: a cell whose centre lies outside all outlines keeps the whole
background, without the other cells.

Two ways to sample a mask. "nearest": a sample is the cell's own where the pixel nearest to it is.
"original": where all pixels that it is mixed from are (DeepProfiler resamples the labels like an image and
compares; edges erode).

Where the array that is cut is smaller than the original image, the mask of its pixel is that of the original
pixel in the same place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.ndimage import binary_erosion
from skimage.measure import label

from dp_assets.config.errors import ImageFileError
from dp_assets.imaging.cropping import (
    CropGeometry,
    Shape,
    extract_windows,
    nearest_pixels,
    resample_windows,
)
from dp_assets.storage.image_sites import ImageSite
from dp_assets.storage.label_images import read_label_image
from dp_assets.storage.plate_outlines import SiteOutlines

MaskSampling = Literal["nearest", "original"]

VERSION = "1"
OWN = 255
NO_OBJECT = 0
AMBIGUOUS = -1
"""The median between two labels, which is neither ("original" only): nothing is the cell's own."""

_HALF_WINDOW = 5
_FILLED_SHARE = 0.5


def object_labels(pixels: np.ndarray) -> np.ndarray:
    """The objects of a field of view.

    Parameters
    ----------
    pixels : (rows, cols) integers.
        Two values, one of them 0: outlines. Any non-zero pixel separates, the 8-connected regions of the
        others are objects (for outlines of 0 and 1, `skimage.measure.label(pixels, background=1)`).
        Two values, but filled areas that enclose nothing: a segmentation without labels, or with one object.
        The connected areas are objects.
        More values: labels as they are, 0 (and less) is background.
        One value: no objects.

    Returns
    -------
    (rows, cols) integers, 0 where there is no object.
    """
    low, high = pixels.min(), pixels.max()
    if low == high:
        return np.zeros(pixels.shape, np.uint8)
    two_values = bool(((pixels == low) | (pixels == high)).all())
    if not two_values or (low != 0 and high != 0):
        return np.maximum(pixels, 0) if low < 0 else pixels
    drawn = pixels != 0
    regions = label(~drawn, connectivity=2)
    if regions.max() > 1 or not _is_filled(drawn):
        return np.asarray(regions)
    return np.asarray(label(drawn, connectivity=2))


def _is_filled(drawn: np.ndarray) -> bool:
    """Whether most drawn pixels have only drawn neighbours: areas, not lines."""
    inner = binary_erosion(drawn, np.ones((3, 3)), border_value=1)
    return bool(inner.sum() > _FILLED_SHARE * drawn.sum())


def cell_objects(labels: np.ndarray, centres: np.ndarray, sampling: MaskSampling) -> np.ndarray:
    """The object of each cell: the median label of the 10 x 10 pixels around its centre.

    Parameters
    ----------
    labels : (rows, cols) integers, in pixels of the original image.
    centres : (cells, 2) float64, (row, col).
    sampling : where the median lies between two labels, "nearest" takes the larger (a cell that lies half on
        the background is its object's), "original" finds that no pixel has such a label.

    Returns
    -------
    (cells,) int64; 0 for a cell on no object or outside the image, -1 for no label ("original").
    """
    rows, cols = labels.shape
    objects = np.zeros(len(centres), np.int64)
    first = np.clip(np.floor(centres), -2 * _HALF_WINDOW, max(rows, cols) + _HALF_WINDOW).astype(np.int64)
    for cell, (row, col) in enumerate(first - _HALF_WINDOW):
        across = slice(max(col, 0), max(col + 2 * _HALF_WINDOW, 0))
        window = labels[max(row, 0) : max(row + 2 * _HALF_WINDOW, 0), across].ravel()
        if not window.size:
            continue
        middle = window.size // 2
        ordered = np.partition(window, [middle - 1, middle] if middle else [middle])
        above, below = int(ordered[middle]), int(ordered[middle if window.size % 2 else middle - 1])
        objects[cell] = above if sampling == "nearest" or above == below else AMBIGUOUS
    return objects


def own_windows(
    labels: np.ndarray,
    objects: np.ndarray,
    origins: np.ndarray,
    side: int,
    array_shape: Shape,
    sampling: MaskSampling,
) -> np.ndarray:
    """Which pixels of each window are the cell's own.

    Parameters
    ----------
    labels : (rows, cols) integers, in pixels of the original image.
    objects : (cells,), from `cell_objects`.
    origins, side : of the windows in the array that is cut.
    array_shape : (rows, cols) of that array.
    sampling : a cell on no object has an empty mask with "nearest"; with "original" all pixels on no object
        are its own.

    Returns
    -------
    (cells, side, side) uint8: 255 on the cell's own pixels, 0 elsewhere and outside the image.
    """
    found = np.zeros((len(objects), side, side), np.uint8)
    plane = _on_grid(labels, array_shape)[:, :, None]
    image = np.ones((*array_shape, 1), bool)
    for cell, wanted in enumerate(objects.tolist()):
        if wanted == AMBIGUOUS or (wanted == NO_OBJECT and sampling == "nearest"):
            continue
        origin = origins[cell : cell + 1]
        own = extract_windows(plane, origin, side)[0, :, :, 0] == wanted
        if wanted == NO_OBJECT:
            own &= extract_windows(image, origin, side)[0, :, :, 0]
        found[cell][own] = OWN
    return found


def _on_grid(labels: np.ndarray, shape: Shape) -> np.ndarray:
    """The label of the original pixel that lies under the middle of each pixel of the array."""
    if labels.shape == tuple(shape):
        return labels
    rows, cols = (
        (2 * np.arange(size) + 1) * original // (2 * size)
        for size, original in zip(shape, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, cols)]


def crop_masks(
    planes: np.ndarray,
    origins: np.ndarray,
    centres: np.ndarray,
    geometry: CropGeometry,
    original_shape: Shape,
    array_shape: Shape,
    sampling: MaskSampling,
) -> np.ndarray:
    """Which samples of each crop are the cell's own, (cells, box, box) bool.

    Parameters
    ----------
    planes : (cells, side, side) uint8, from `own_windows`.
    origins, centres, geometry, original_shape, array_shape : as for `cropping.resample_windows`.
    """
    where = (origins, centres, geometry, original_shape, array_shape)
    if sampling == "nearest":
        return nearest_pixels(planes, *where) == OWN
    return resample_windows(planes[..., None], *where)[..., 0] == OWN


def masked(crops: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Crops (cells, box, box, channels) with 0 where masks (cells, box, box) bool are not set."""
    return crops * masks[..., None]


@dataclass(frozen=True)
class PlateMasks:
    """The masks of a plate's cells, made from its outline images on demand.

    Attributes
    ----------
    outlines : (well, site) -> its outline image.
    sampling : "nearest" or "original" (see the module).
    """

    outlines: Mapping[tuple[str, str], SiteOutlines]
    sampling: MaskSampling = "nearest"

    def site_facts(self, site: ImageSite) -> list[Any]:
        """What the masks of one site are made from, for its fingerprint."""
        return ["masks", VERSION, self.sampling, self.outlines[(site.well, site.site)].fingerprint]

    def windows(
        self,
        site: ImageSite,
        centres: np.ndarray,
        origins: np.ndarray,
        side: int,
        array_shape: Shape,
        maximum_pixels: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The mask planes of some windows of a site, and the cells' objects.

        Returns
        -------
        (cells, side, side) uint8 as `own_windows`, and (cells,) int64 as `cell_objects`.

        Raises
        ------
        ImageFileError : the outline image cannot be read.
        ContentChangedError : it is another than when it was inspected.
        """
        outlines = self.outlines[(site.well, site.site)]
        path = outlines.path
        pixels = read_label_image(path, maximum_pixels, outlines.fingerprint)
        if pixels.shape != tuple(site.original_shape):
            raise ImageFileError(
                f"the outlines are {pixels.shape[0]} x {pixels.shape[1]}; "
                f"expected {site.original_shape[0]} x {site.original_shape[1]}",
                where=str(path),
                remedy="the file has changed since plate_outlines was made: materialize plate_outlines again",
            )
        labels = object_labels(pixels)
        objects = cell_objects(labels, centres, self.sampling)
        return own_windows(labels, objects, origins, side, array_shape, self.sampling), objects
