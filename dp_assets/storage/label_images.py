"""Outline images and label images: grey images whose values name objects, of any whole-number type.

Segmentation programs write more types than microscopes: 32-bit labels, labels as floating-point numbers,
outlines of one bit a pixel. What `images` reads is left to it.
"""

from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from upath import UPath

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.image_bytes import (
    DEFAULT_MAXIMUM_PIXELS,
    ImageBytes,
    blaming_the_file,
    check_size,
    open_image,
)
from dp_assets.storage.images import ImageInfo, decode_image, inspect_opened
from dp_assets.storage.remote import with_fresh_copies
from dp_assets.storage.tiff_pages import (
    DAMAGED_HEADER,
    DAMAGED_PIXELS,
    PIXEL_TYPES,
    check_extent,
    open_tiff,
    single_page,
)

_PNG_BITS, _PNG_COLOUR, _PNG_GREY = 24, 25, 0
_WHITE_IS_ZERO = 0
_LARGEST_LABEL = 2**53
"""Whole numbers above this are not exact as floating-point numbers."""
_REPLACE = "export the outlines again from the segmentation program"
_CONVERT = "save one grey image of outlines or of whole-number labels per field of view, as TIFF or PNG"


def read_label_image(
    path: UPath | Path, maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS, content: str = ""
) -> np.ndarray:
    """The values of an outline image or label image.

    Parameters
    ----------
    path : TIFF (integers of 8 to 64 bits, whole numbers as floats, one bit) or PNG (1 to 16 bits); one page.
    maximum_pixels : refuse larger images before any memory is taken for them.
    content : the fingerprint that the file's bytes must have; "" for any.

    Returns
    -------
    (rows, cols) integers in the file's type; int64 for floats and 64-bit integers, uint8 for one bit.

    Raises
    ------
    ImageFileError : the file is missing, cut off, damaged, in colour, of several pages, larger than
        `maximum_pixels`, or holds values that are no labels.
    ContentChangedError : its content is another; of an object on a store, also after its copy in the cache
        was fetched again.
    """
    return with_fresh_copies([path], lambda: _read(path, maximum_pixels, content))


def _read(path: UPath | Path, maximum_pixels: int, content: str) -> np.ndarray:
    with open_image(path, content, "plate_outlines") as source:
        if _is_small_png(source):
            _inspect_png(source, maximum_pixels)
            with blaming_the_file(DAMAGED_PIXELS, source.where):
                return np.ascontiguousarray(imagecodecs.png_decode(source.all()))
        if source.format == "tiff":
            with open_tiff(source) as tiff:
                page = single_page(tiff, source.where)
                if not _is_plain(page, source.where):
                    _inspect_page(page, source, maximum_pixels)
                    return _labels_of(page, source.where)
        return decode_image(source, maximum_pixels)


def inspect_label_image(path: UPath | Path, maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS) -> ImageInfo:
    """Size, type and fingerprint of an outline or label image; only its header is interpreted.

    Raises
    ------
    ImageFileError : as for `read_label_image`, except for damage inside compressed pixels and for values.
    """
    with open_image(path) as source:
        if _is_small_png(source):
            return _inspect_png(source, maximum_pixels)
        if source.format == "tiff":
            with open_tiff(source) as tiff:
                page = single_page(tiff, source.where)
                if not _is_plain(page, source.where):
                    return _inspect_page(page, source, maximum_pixels)
        return inspect_opened(source, maximum_pixels)


def _is_small_png(source: ImageBytes) -> bool:
    """Whether this is a grey PNG of less than 8 bits."""
    start = source.start
    return (
        source.format == "png"
        and len(start) > _PNG_COLOUR
        and start[_PNG_BITS] < 8
        and start[_PNG_COLOUR] == _PNG_GREY
    )


def _inspect_png(source: ImageBytes, maximum_pixels: int) -> ImageInfo:
    """Check a PNG of less than 8 bits."""
    data = source.all()
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    check_size(height, width, source.where, maximum_pixels)
    if b"IEND" not in data[-12:]:
        raise ImageFileError(
            f"the PNG file is cut off: {len(data)} bytes and no end mark", where=source.where, remedy=_REPLACE
        )
    return ImageInfo(height, width, f"{data[_PNG_BITS]} bit", source.size, source.fingerprint())


def _is_plain(page: tifffile.TiffPage, where: str) -> bool:
    """Whether the pixels are of a type that `images` reads, or refuses in better words."""
    with blaming_the_file(DAMAGED_HEADER, where):
        return str(page.dtype) in PIXEL_TYPES or page.samplesperpixel != 1 or len(page.shape) != 2


def _inspect_page(page: tifffile.TiffPage, source: ImageBytes, maximum_pixels: int) -> ImageInfo:
    # A damaged tag may have any type: a width that is a tuple or text.
    with blaming_the_file(DAMAGED_HEADER, source.where):
        if page.dtype is None or page.dtype.kind not in "buif":
            raise ImageFileError(
                f"expected whole numbers; the TIFF is {page.dtype or f'{page.bitspersample} bits'}",
                where=source.where,
                remedy=_CONVERT,
            )
        shape = check_extent(page, source, maximum_pixels)
        return ImageInfo(*shape, str(page.dtype), source.size, source.fingerprint())


def _labels_of(page: tifffile.TiffPage, where: str) -> np.ndarray:
    """The pixels of a checked page as integers."""
    with blaming_the_file(DAMAGED_PIXELS, where):
        pixels = page.asarray(maxworkers=1)
    if pixels.dtype == bool:
        return (pixels != (page.photometric == _WHITE_IS_ZERO)).astype(np.uint8)
    if pixels.dtype.kind == "f":
        odd = ~np.isfinite(pixels) | (np.abs(pixels) > _LARGEST_LABEL) | (pixels != np.floor(pixels))
        if odd.any():
            raise ImageFileError(
                f"labels must be whole numbers; the image holds {pixels[odd][0]}",
                where=where,
                remedy=_CONVERT,
            )
        return pixels.astype(np.int64)
    if pixels.dtype.itemsize == 8:
        if pixels.max() > np.iinfo(np.int64).max:
            raise ImageFileError(f"the label {pixels.max()} is too large", where=where, remedy=_CONVERT)
        return pixels.astype(np.int64)
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
