"""The pixels of a grey PNG file: quickly where every row is filtered alike, otherwise by the PNG library.

The program's own files have the filter "up" in every row. Their pixels are inflated in one step and the
differences added up, which takes half of the library's time; the checksum of the pixels is compared.
"""

import imagecodecs
import numpy as np

_START = 8
_CHUNK_FRAME = 12
_UP = 2


def png_pixels(data: bytes) -> np.ndarray:
    """Decode a complete, grey PNG file of 8 or 16 bits.

    Returns
    -------
    (rows, cols) uint8 or uint16, in the machine's byte order.

    Raises
    ------
    Exception : of the decoders, when the file is damaged.
    """
    interlaced = data[28]
    filtered = None if interlaced else _filtered_rows(data)
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


def _filtered_rows(data: bytes) -> np.ndarray:
    """The inflated bytes, (rows, 1 + bytes of a row): in each row its filter, then differences."""
    cols, rows = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    width = 1 + cols * data[24] // 8
    found = imagecodecs.deflate_decode(_compressed(data), out=rows * width)
    filtered = np.frombuffer(found, np.uint8)
    if len(filtered) != rows * width:
        raise ValueError(f"there are {len(filtered)} bytes of pixels instead of {rows * width}")
    return filtered.reshape(rows, width)


def _compressed(data: bytes) -> bytes:
    """What the IDAT chunks hold together."""
    parts = []
    position = _START
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"IDAT":
            parts.append(data[position + 8 : position + 8 + length])
        position += _CHUNK_FRAME + length
    return b"".join(parts)
