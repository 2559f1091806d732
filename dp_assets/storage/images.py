"""Single images as microscopes write them: TIFF and PNG, one grey channel per file, 8 or 16 bits.

The format is told by a file's first bytes, never by its ending. Whatever is not a complete, single, grey
image is refused with a message that names the file: an image silently read by half ruins a plate's
statistics. Files of several images: `plane_files`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from upath import UPath

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.image_bytes import (
    CONVERT,
    DEFAULT_MAXIMUM_PIXELS,
    REPLACE,
    ImageBytes,
    blaming_the_file,
    check_size,
    open_image,
    refuse_other_formats,
)
from dp_assets.storage.image_codecs import decode_compressed
from dp_assets.storage.png_pixels import png_pixels
from dp_assets.storage.tiff_pages import DAMAGED_PIXELS, check_page, decode_page, open_tiff, single_page

_PNG_COLOURS = {2: "RGB", 3: "palette", 4: "grey with transparency", 6: "RGB with transparency"}
_PNG_HEADER = 33
_PNG_SIGNATURE_BYTES = 8


@dataclass(frozen=True)
class ImageInfo:
    """What is known of an image without decoding it.

    Attributes
    ----------
    height, width : pixels.
    dtype : "uint8" or "uint16".
    bytes : size of the file; of one plane of a stack, the bytes that hold its pixels.
    fingerprint : digest of the content (BLAKE3, 32 hexadecimal digits): of the file's bytes, and of which
        plane it is where the file has several.
    """

    height: int
    width: int
    dtype: str
    bytes: int
    fingerprint: str


def read_image(
    path: UPath | Path, maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS, content: str = ""
) -> np.ndarray:
    """The pixels of a TIFF or PNG file, or of a compressed image that this program wrote (`image_codecs`).

    Parameters
    ----------
    path : the file, local or on an object store.
    maximum_pixels : refuse larger images before any memory is taken for them.
    content : the fingerprint that the file's bytes must have; "" for any.

    Returns
    -------
    (rows, cols) uint8 or uint16, in the machine's byte order. Grey levels are those stored in the file.

    Raises
    ------
    ImageFileError : the file is missing, empty, cut off, damaged, of another format, in colour, of several
        pages, neither 8 nor 16 bits unsigned, or larger than `maximum_pixels`.
    ContentChangedError : its content is another.
    """
    with open_image(path, content) as source:
        return decode_image(source, maximum_pixels)


def decode_image(source: ImageBytes, maximum_pixels: int) -> np.ndarray:
    """The pixels of an opened image file; returns and raises as `read_image`."""
    if source.format == "tiff":
        with open_tiff(source) as tiff:
            page = single_page(tiff, source.where)
            _, _, dtype = check_page(page, source, maximum_pixels)
            return decode_page(page, dtype, source.where)
    data = source.all()
    compressed = decode_compressed(data, source.where, maximum_pixels)
    if compressed is not None:
        return compressed
    refuse_other_formats(source)
    check_png(data, source.where, maximum_pixels)
    with blaming_the_file(DAMAGED_PIXELS, source.where):
        return png_pixels(data)


def inspect_image(path: UPath | Path, maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS) -> ImageInfo:
    """Size, type and fingerprint of an image file: its bytes are read once, only the header is interpreted.

    A file that was cut off is found without decoding: the strips or tiles of a TIFF, or the chunks of a PNG,
    reach beyond its end.

    Raises
    ------
    ImageFileError : as for `read_image`, except for damage inside the compressed pixels.
    """
    with open_image(path) as source:
        return inspect_opened(source, maximum_pixels)


def inspect_opened(source: ImageBytes, maximum_pixels: int) -> ImageInfo:
    """Size, type and fingerprint of an opened image file. Raises ImageFileError as `inspect_image`."""
    refuse_other_formats(source)
    if source.format == "png":
        return inspect_png(source, maximum_pixels)
    with open_tiff(source) as tiff:
        shape = check_page(single_page(tiff, source.where), source, maximum_pixels)
    return ImageInfo(*shape, source.size, source.fingerprint())


def inspect_png(source: ImageBytes, maximum_pixels: int) -> ImageInfo:
    """Size, type and fingerprint of an opened PNG file. Raises ImageFileError as `inspect_image`."""
    shape = check_png(source.all(), source.where, maximum_pixels)
    return ImageInfo(*shape, source.size, source.fingerprint())


def check_png(data: bytes, where: str, maximum_pixels: int) -> tuple[int, int, str]:
    """Rows, columns and type of a complete grey PNG; ImageFileError for any other."""
    if len(data) < _PNG_HEADER or data[12:16] != b"IHDR":
        raise ImageFileError("the PNG file is cut off in its header", where=where, remedy=REPLACE)
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    bits, colour = data[24], data[25]
    if colour != 0:
        raise ImageFileError(
            f"expected a grey image; the PNG is {_PNG_COLOURS.get(colour, f'of colour type {colour}')}",
            where=where,
            remedy=CONVERT,
        )
    if bits not in (8, 16):
        raise ImageFileError(
            f"expected 8 or 16 bits a pixel; the PNG has {bits}", where=where, remedy=CONVERT
        )
    _walk_png_chunks(data, where)
    check_size(height, width, where, maximum_pixels)
    return height, width, f"uint{bits}"


def _walk_png_chunks(data: bytes, where: str) -> None:
    """Refuse a PNG whose chunks do not end with IEND inside the file."""
    position = _PNG_SIGNATURE_BYTES
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        position += 12 + length
        if kind == b"IEND" and position <= len(data):
            return
    raise ImageFileError(
        f"the PNG file is cut off: {len(data)} bytes and no end mark", where=where, remedy=REPLACE
    )
