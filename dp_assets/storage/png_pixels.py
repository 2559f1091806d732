"""The pixels of a grey PNG file: quickly where every row is filtered alike, otherwise by the PNG library.

The program's own files have the filter "up" in every row. Their pixels are inflated in one step and the
differences added up, which is faster than the library; the checksum of the pixels is compared.
"""

import zlib

import imagecodecs
import numpy as np

_START = 8
_CHUNK_FRAME = 12
_UP = 2
_TRANSPARENT = b"tRNS"


def png_pixels(data: bytes) -> np.ndarray:
    """Decode a complete, grey PNG file of 8 or 16 bits.

    Returns
    -------
    (rows, cols) uint8 or uint16, in the machine's byte order; as the library reads it.

    Raises
    ------
    Exception : of the library, when the file is damaged.
    """
    filtered = _filtered_rows(data)
    if filtered is None or (filtered[:, 0] != _UP).any():
        return imagecodecs.png_decode(data)
    rows, values = filtered.shape[0], filtered.shape[1] - 1
    pixels = np.empty((rows, values), np.uint8)
    pixels[0] = filtered[0, 1:]
    for row in range(1, rows):
        np.add(pixels[row - 1], filtered[row, 1:], out=pixels[row])
    if data[24] == 8:
        return pixels
    return pixels.view(">u2").astype(np.uint16)


def _filtered_rows(data: bytes) -> np.ndarray | None:
    """The inflated bytes, (rows, 1 + bytes of a row): in each row its filter, then differences.

    None for what is better left to the library: another first filter, interlaced or transparent pixels, or a
    stream that is not just what it should be (the library knows which of these are damage).
    """
    compressed, kinds = _chunks(data)
    if data[28] or _TRANSPARENT in kinds or _first_byte(compressed) != _UP:
        return None
    cols, rows = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    width = 1 + cols * data[24] // 8
    try:
        found = imagecodecs.deflate_decode(compressed, out=rows * width)
    except imagecodecs.DeflateError:
        return None
    filtered = np.frombuffer(found, np.uint8)
    return filtered.reshape(rows, width) if len(filtered) == rows * width else None


def _first_byte(compressed: bytes) -> int | None:
    try:
        first = zlib.decompressobj().decompress(compressed, 1)
    except zlib.error:
        return None
    return first[0] if first else None


def _chunks(data: bytes) -> tuple[bytes, set[bytes]]:
    """What the IDAT chunks hold together, and which kinds of chunks there are."""
    parts, kinds = [], set()
    position = _START
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        kinds.add(kind)
        if kind == b"IDAT":
            parts.append(data[position + 8 : position + 8 + length])
        position += _CHUNK_FRAME + length
    return b"".join(parts), kinds
