"""Where the samples of a crop lie.

Two ways to sample. "original": bilinear samples spread evenly from one edge of the box to the other, both
included, so that b samples span b pixels and fall between pixels even at scale 1 (DeepProfiler's way,
TensorFlow's `crop_and_resize`; published checkpoints were trained on such crops). "exact": the pixels of the
nearest whole-pixel window, untouched.

The box has `view_size` pixels of the original image along each side, and its crop `box_size` samples. For
single cells both are one number; a view of a full image is larger than its crop.

All positions are computed in float32 in the order of operations of the original, from centres in pixels of
the original image; the array at hand may be smaller by a scaling factor.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dp_assets.config.errors import ConfigurationError, LocationsError

Sampling = Literal["original", "exact"]
Shape = tuple[int, int]

FAR = 2**29
"""Pixels beyond which a position says no more than "outside"; float32 and int32 still hold it."""


@dataclass(frozen=True)
class CropGeometry:
    """How crops are cut.

    Attributes
    ----------
    box_size : side of the crop in samples.
    sampling : "original" or "exact" (see the module).
    margin : pixels kept around a window on every side, for shifts and rotations later; does not change crops.
    view_size : side of the box in pixels of the original image; None when it is `box_size`.

    Raises
    ------
    ConfigurationError : "exact" with a box of another size than the crop.
    """

    box_size: int
    sampling: Sampling = "original"
    margin: int = 0
    view_size: int | None = None

    def __post_init__(self) -> None:
        if self.box_size < 1 or self.margin < 0 or self.sampling not in ("original", "exact"):
            raise ValueError(
                "Expected box_size >= 1, margin >= 0 and a sampling of 'original' or 'exact'. Received "
                f"box_size={self.box_size}, margin={self.margin}, sampling={self.sampling!r}."
            )
        if self.view < 1:
            raise ValueError(f"Expected view_size >= 1. Received {self.view_size}.")
        if self.sampling == "exact" and self.view != self.box_size:
            raise ConfigurationError(
                f"sampling 'exact' keeps whole pixels, but view_size is {self.view} "
                f"and box_size {self.box_size}",
                where="single_cells.sampling",
                remedy="use sampling 'original', or a view_size equal to box_size",
            )

    @property
    def view(self) -> int:
        """Side of the box in pixels of the original image."""
        return self.box_size if self.view_size is None else self.view_size

    def facts(self, *, margin: bool = True) -> dict[str, Any]:
        """The geometry as it stands in manifests and fingerprints; `CropGeometry(**facts)` reads it back.

        A view size that is not set is left out, so what was made before there were views stays what it is.
        """
        found: dict[str, Any] = {"box_size": self.box_size, "sampling": self.sampling}
        if margin:
            found["margin"] = self.margin
        if self.view_size is not None:
            found["view_size"] = self.view_size
        return found


@dataclass(frozen=True)
class SamplePlaces:
    """Where the samples of n boxes lie along one axis of the array.

    Attributes
    ----------
    lower, upper : (n, box) int64, the pixels before and after each sample (equal when it falls on one).
    weight : (n, box) float32, share of the upper pixel.
    inside : (n, box) bool, whether the sample lies inside the array; outside it is zero.
    first : (n,) int64, the pixel before the first sample, inside or not.
    """

    lower: np.ndarray
    upper: np.ndarray
    weight: np.ndarray
    inside: np.ndarray
    first: np.ndarray


def sample_places(
    centres: np.ndarray, axis: int, geometry: CropGeometry, original_shape: Shape, array_shape: Shape
) -> SamplePlaces:
    """Where the samples of each box lie along one axis.

    Parameters
    ----------
    centres : (n, 2) float64, (row, col) in pixels of the original image.
    axis : 0 for rows, 1 for columns.
    original_shape, array_shape : (rows, cols) of the original image and of the array that is sampled.
    """
    box, original = geometry.box_size, np.float32(original_shape[axis])
    last = np.float32(array_shape[axis] - 1)
    # However far outside a centre lies, its crop is empty; float32 and int32 must still hold its position.
    centre = np.clip(centres[:, axis], -FAR, FAR)
    near = (centre - geometry.view / 2).astype(np.float32) / original
    far = (centre + geometry.view / 2).astype(np.float32) / original
    if box == 1:
        position = (np.float32(0.5) * (near + far) * last)[:, None]
    else:
        scale = (far - near) * last / np.float32(box - 1)
        position = (near * last)[:, None] + np.arange(box, dtype=np.float32) * scale[:, None]
    position = np.clip(position, np.float32(-FAR), np.float32(FAR))
    lower = np.floor(position)
    return SamplePlaces(
        lower=lower.astype(np.int64),
        upper=np.ceil(position).astype(np.int64),
        weight=position - lower,
        inside=(position >= 0) & (position <= last),
        first=lower[:, 0].astype(np.int64),
    )


def checked_centres(centres: np.ndarray) -> np.ndarray:
    """The centres as (cells, 2) float64.

    Raises
    ------
    LocationsError : one of them is not a finite number.
    """
    centres = np.asarray(centres, dtype=np.float64)
    if centres.ndim != 2 or centres.shape[1] != 2:
        raise ValueError(f"Expected centres (cells, 2) as (row, col). Received shape {centres.shape}.")
    wrong = np.flatnonzero(~np.isfinite(centres).all(axis=1))
    if len(wrong):
        row, col = centres[wrong[0]]
        raise LocationsError(
            f"the centre of cell {wrong[0]} is row {row}, column {col} ({len(wrong)} such cells in all)",
            where=f"cell locations, row {wrong[0]} (0-based)",
            remedy="every cell needs a finite Nuclei_Location_Center_X and _Y: correct or remove these rows",
        )
    return centres


def check_sampling(geometry: CropGeometry, original_shape: Shape, array_shape: Shape) -> None:
    """Raise ConfigurationError when whole pixels are asked of an image of another size than the original."""
    if geometry.sampling == "exact" and tuple(original_shape) != tuple(array_shape):
        raise ConfigurationError(
            f"sampling 'exact' keeps whole pixels, but the image is {array_shape[0]} x {array_shape[1]} "
            f"where the original is {original_shape[0]} x {original_shape[1]}",
            where="single_cells.sampling",
            remedy="use sampling 'original', or a prepare.compression.scaling_factor of 1",
        )
