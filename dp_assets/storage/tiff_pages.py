"""TIFF files and their pages: opened without trusting anything that they claim."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tifffile

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.image_bytes import CONVERT, REPLACE, ImageBytes, blaming_the_file, check_size

DAMAGED_HEADER = "the TIFF header cannot be read, the file is cut off or damaged"
DAMAGED_PIXELS = "the pixels cannot be decoded, the file is damaged"
PIXEL_TYPES = ("uint8", "uint16")
_UNCOMPRESSED = 1


@contextmanager
def open_tiff(source: ImageBytes) -> Iterator[tifffile.TiffFile]:
    """A TIFF file, its list of pages read. Raises ImageFileError when it cannot be."""
    with blaming_the_file(DAMAGED_HEADER, source.where):
        source.stream.seek(0)
        # What lies in other files does not belong to this one: several files would share fingerprints.
        tiff = tifffile.TiffFile(source.stream, name=source.name, _multifile=False)
        next_page = _offset_behind_last_page(tiff, source)
    with tiff:
        if next_page >= source.size:
            # The parser leaves out pages that it cannot reach: a stack would look like a single image.
            raise ImageFileError(
                f"the TIFF file is cut off: it has {source.size} bytes, its next page is at {next_page}",
                where=source.where,
                remedy=REPLACE,
            )
        yield tiff


def _offset_behind_last_page(tiff: tifffile.TiffFile, source: ImageBytes) -> int:
    """Where the last page that could be read says that a further one lies; 0 when it is the last indeed."""
    fields = tiff.tiff
    source.stream.seek(tiff.pages[len(tiff.pages) - 1].offset)
    (tags,) = struct.unpack(fields.tagnoformat, source.stream.read(fields.tagnosize))
    source.stream.seek(tags * fields.tagsize, io.SEEK_CUR)
    (offset,) = struct.unpack(fields.offsetformat, source.stream.read(fields.offsetsize))
    return offset


def is_single_image(tiff: tifffile.TiffFile, where: str) -> bool:
    """Whether the file holds one page, and that page is all there is.

    ImageJ and tifffile write stacks with one page whose planes follow one another without pages of their own.
    """
    if len(tiff.pages) != 1:
        return False
    with blaming_the_file(DAMAGED_HEADER, where):
        page = tiff.pages.first
        if not (page.is_imagej or page.is_shaped) or not page.size:
            return True
        return all(int(np.prod(series.get_shape(False))) <= page.size for series in tiff.series)


def single_page(tiff: tifffile.TiffFile, where: str) -> tifffile.TiffPage:
    """The only page of a file that holds one image; ImageFileError for stacks."""
    if not is_single_image(tiff, where):
        count = len(tiff.pages)
        found = f"has {count} pages" if count != 1 else "is a stack in one page"
        raise ImageFileError(
            f"expected a single image; the TIFF {found}",
            where=where,
            remedy="split the stack or project it, " + CONVERT,
        )
    return tiff.pages.first


def check_page(page: tifffile.TiffPage, source: ImageBytes, maximum_pixels: int) -> tuple[int, int, str]:
    """Rows, columns and type (uint8 or uint16) of a page, all of whose pixels lie inside the file.

    Raises
    ------
    ImageFileError : in colour, another type, too large, cut off, or a header that makes no sense.
    """
    # A damaged tag may have any type: a width that is a tuple or text.
    with blaming_the_file(DAMAGED_HEADER, source.where):
        return _checked(page, source, maximum_pixels)


def _checked(page: tifffile.TiffPage, source: ImageBytes, maximum_pixels: int) -> tuple[int, int, str]:
    where = source.where
    if page.samplesperpixel != 1 or len(page.shape) != 2:
        kind = "in colour" if page.samplesperpixel in (3, 4) else f"of shape {page.shape}"
        raise ImageFileError(
            f"expected a grey image (rows, cols); the TIFF is {kind}", where=where, remedy=CONVERT
        )
    # `dtype` is in the machine's byte order, None for sizes that numpy has no type for.
    found = str(page.dtype) if page.dtype is not None else f"{page.bitspersample} bits"
    if found not in PIXEL_TYPES:
        raise ImageFileError(
            f"expected unsigned pixels of 8 or 16 bits; the TIFF is {found}", where=where, remedy=CONVERT
        )
    return *check_extent(page, source, maximum_pixels), found


def check_extent(page: tifffile.TiffPage, source: ImageBytes, maximum_pixels: int) -> tuple[int, int]:
    """Rows and columns of a grey page of any type, all of whose pixels lie inside the file.

    Raises
    ------
    ImageFileError : too large, or cut off.
    """
    height, width = page.shape
    check_size(height, width, source.where, maximum_pixels)
    if page.is_tiled and page.tilewidth * page.tilelength > 4 * max(maximum_pixels, 2**20):
        raise ImageFileError(
            f"the TIFF claims tiles of {page.tilelength} x {page.tilewidth}",
            where=source.where,
            remedy=REPLACE,
        )
    _check_segments(page, source)
    return height, width


def _check_segments(page: tifffile.TiffPage, source: ImageBytes) -> None:
    """Refuse a page whose strips or tiles are missing, empty, too few bytes, or reach beyond the file."""
    offsets, counts = page.dataoffsets, page.databytecounts
    if len(offsets) != len(counts) or len(offsets) < int(np.prod(page.chunked)):
        raise ImageFileError("the TIFF lacks some of its strips", where=source.where, remedy=REPLACE)
    end = max(offset + count for offset, count in zip(offsets, counts, strict=True))
    if end > source.size:
        raise ImageFileError(
            f"the TIFF file is cut off: it has {source.size} bytes, its pixels need {end}",
            where=source.where,
            remedy=REPLACE,
        )
    expected = page.imagelength * ((page.imagewidth * page.bitspersample + 7) // 8)
    too_short = page.compression == _UNCOMPRESSED and sum(counts) < expected
    if too_short or min(counts) == 0 or min(offsets) == 0:
        raise ImageFileError(
            "the TIFF file holds no data for part of its pixels", where=source.where, remedy=REPLACE
        )


def decode_page(page: tifffile.TiffPage, dtype: str, where: str) -> np.ndarray:
    """The pixels of a checked page, (rows, cols) in the machine's byte order."""
    with blaming_the_file(DAMAGED_PIXELS, where):
        pixels = page.asarray(maxworkers=1)
    return np.ascontiguousarray(pixels, dtype=np.dtype(dtype))
