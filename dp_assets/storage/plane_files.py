"""Files of any number of planes: which of them the channels of a field of view are, and their pixels."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from upath import UPath

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.image_bytes import (
    DEFAULT_MAXIMUM_PIXELS,
    content_changed,
    open_image,
    refuse_other_formats,
)
from dp_assets.storage.image_planes import WHOLE_FILE, PlaneSelection
from dp_assets.storage.images import ImageInfo, inspect_png
from dp_assets.storage.plane_choice import ChannelRequest, StackLayout, resolve_plane
from dp_assets.storage.plane_stack import PlaneStack, read_plane
from dp_assets.storage.tiff_pages import check_page, is_single_image, open_tiff, single_page
from dp_assets.storage.tiff_planes import TiffStack, ome_channel_names
from dp_assets.storage.zarr_planes import ZarrStack, is_zarr

Found = tuple[ImageInfo, PlaneSelection]


def inspect_planes(
    path: UPath | Path, requests: Sequence[ChannelRequest], maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS
) -> list[Found | ImageFileError]:
    """Size, type and fingerprint of the planes that channels of the index mean; the file is read once.

    Parameters
    ----------
    path : a TIFF or PNG file, or the group of an image inside an OME-Zarr; local or on an object store.
    requests : the channels that name this file.
    maximum_pixels : larger images, and projections over more pixels, are refused.

    Returns
    -------
    For each request the facts of its plane and how the plane is written behind the path (`WHOLE_FILE` for a
    file of one image), or why it cannot be used.
    """
    try:
        if is_zarr(path):
            return _inspect_stack(ZarrStack(path, maximum_pixels), requests, maximum_pixels)
        with open_image(path) as source:
            refuse_other_formats(source)
            if source.format == "png":
                info = inspect_png(source, maximum_pixels)
                return _all_the_same(info, StackLayout(), requests, source.where)
            with open_tiff(source) as tiff:
                if not is_single_image(tiff, source.where):
                    return _inspect_stack(TiffStack(tiff, source, maximum_pixels), requests, maximum_pixels)
                shape = check_page(single_page(tiff, source.where), source, maximum_pixels)
                by_name = any(isinstance(request.selection.channel, str) for request in requests)
                names = ome_channel_names(tiff, source.where, 1) if by_name else ()
            info = ImageInfo(*shape, source.size, source.fingerprint())
            return _all_the_same(info, StackLayout(names=names), requests, source.where)
    except ImageFileError as error:
        return [error for _ in requests]


def read_planes(
    path: UPath | Path,
    selections: Sequence[PlaneSelection],
    maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS,
    contents: Sequence[str] = (),
) -> list[np.ndarray]:
    """The pixels of planes of one file, which is opened once.

    Parameters
    ----------
    path : a TIFF file, or the group of an image inside an OME-Zarr.
    selections : as `inspect_planes` found them.
    contents : the fingerprints that it found then, to be the same still; empty for any.

    Returns
    -------
    One array each, (rows, cols) uint8 or uint16, in the machine's byte order; projections are of all planes
    along z.

    Raises
    ------
    ImageFileError : the file is missing or damaged, or does not have such a plane (any more).
    ContentChangedError : the content of a plane is another.
    """
    with _opened_stack(path, maximum_pixels) as stack:
        planes = [
            resolve_plane(stack.layout, ChannelRequest(selection), stack.where) for selection in selections
        ]
        for plane, content in zip(planes, contents, strict=False):
            if content and stack.content(plane) not in (None, content):
                raise content_changed(stack.where)
        return [read_plane(stack, plane, maximum_pixels) for plane in planes]


def read_layout(path: UPath | Path, maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS) -> StackLayout:
    """What an image file holds, out of its metadata. Raises ImageFileError as `read_planes`."""
    with _opened_stack(path, maximum_pixels) as stack:
        return stack.layout


@contextmanager
def _opened_stack(path: UPath | Path, maximum_pixels: int) -> Iterator[PlaneStack]:
    if is_zarr(path):
        yield ZarrStack(path, maximum_pixels)
        return
    with open_image(path) as source:
        refuse_other_formats(source)
        if source.format == "png":
            raise ImageFileError(
                "the file is a PNG, which has one plane",
                where=source.where,
                remedy="materialize plate_images of this plate again: it names a plane of the file",
            )
        with open_tiff(source) as tiff:
            yield TiffStack(tiff, source, maximum_pixels)


def _inspect_stack(
    stack: PlaneStack, requests: Sequence[ChannelRequest], maximum_pixels: int
) -> list[Found | ImageFileError]:
    found: list[Found | ImageFileError] = []
    for request in requests:
        try:
            plane = resolve_plane(stack.layout, request, stack.where)
            found.append((stack.describe(plane, maximum_pixels), plane.selection))
        except ImageFileError as error:
            found.append(error)
    return found


def _all_the_same(
    info: ImageInfo, layout: StackLayout, requests: Sequence[ChannelRequest], where: str
) -> list[Found | ImageFileError]:
    """A file of one image is the image of every channel that names it."""
    found: list[Found | ImageFileError] = []
    for request in requests:
        try:
            resolve_plane(layout, request, where)
            found.append((info, WHOLE_FILE))
        except ImageFileError as error:
            found.append(error)
    return found
