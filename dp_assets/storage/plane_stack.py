"""What all files of several planes have in common, and projections along z."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.images import ImageInfo
from dp_assets.storage.plane_choice import ResolvedPlane, StackLayout


class PlaneStack(Protocol):
    """An opened file of several planes.

    Attributes
    ----------
    where : the file, as messages name it.
    layout : what it holds.
    """

    where: str

    @property
    def layout(self) -> StackLayout:
        """What the file holds."""
        ...

    def describe(self, plane: ResolvedPlane, maximum_pixels: int) -> ImageInfo:
        """Size, type and content fingerprint of a plane, or of all planes of a projection.

        Raises ImageFileError when pixels are missing, of another type than uint8 and uint16, or too many.
        """
        ...

    def content(self, plane: ResolvedPlane) -> str | None:
        """The fingerprint that `describe` gives; None where more than the plane would have to be read."""
        ...

    def planes(self, plane: ResolvedPlane, maximum_pixels: int) -> Iterator[np.ndarray]:
        """The plane, or the planes of a projection one after the other, (rows, cols) uint8 or uint16.

        Raises ImageFileError as `describe` does, and when pixels cannot be decoded.
        """
        ...


def check_projection(planes: int, height: int, width: int, where: str, maximum_pixels: int) -> None:
    """Refuse a projection over more than `maximum_pixels`."""
    if planes > 1 and planes * height * width > maximum_pixels:
        raise ImageFileError(
            f"the stack is {planes} planes of {height} x {width}, "
            f"more than the {maximum_pixels} pixels allowed",
            where=where,
            remedy="raise maximum_image_pixels in project.yaml if the stack is truly that large",
        )


def read_plane(stack: PlaneStack, plane: ResolvedPlane, maximum_pixels: int) -> np.ndarray:
    """One plane, or the maximum or mean of all planes along z.

    Returns
    -------
    (rows, cols), uint8 or uint16 as in the file. Means are rounded (half to even).

    Raises
    ------
    ImageFileError : as `PlaneStack.planes`, and when the planes differ in size or type.
    """
    found = stack.planes(plane, maximum_pixels)
    if plane.projection is None:
        return next(found)
    return _projected(found, len(plane.z), plane.projection, stack.where)


def _projected(planes: Iterator[np.ndarray], count: int, how: str, where: str) -> np.ndarray:
    first = next(planes)
    total = first.astype(np.uint64) if how == "mean" else first.copy()
    for number, plane in enumerate(planes, start=1):
        if plane.shape != first.shape or plane.dtype != first.dtype:
            raise ImageFileError(
                f"plane {number} along z is {plane.shape[0]} x {plane.shape[1]} {plane.dtype}; "
                f"the first is {first.shape[0]} x {first.shape[1]} {first.dtype}",
                where=where,
                remedy="export the stack again with planes of one size and type",
            )
        if how == "mean":
            total += plane
        else:
            np.maximum(total, plane, out=total)
    return total if how == "max" else np.rint(total / count).astype(first.dtype)
