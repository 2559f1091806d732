"""How one crop window becomes bytes: horizontal differences, byte planes, zstd, and a checksum of the result.

Chosen by `benchmarks/crop_codecs.py`: of PNG, JPEG-LS, JPEG XL and this, it was the fastest to write and to
read, and about a fifth larger than the smallest. Lossless; every window decodes alone, so cells can be read
in any order.
"""

import zlib

import imagecodecs
import numpy as np

LEVEL = 1
CODEC = "delta-bytes-zstd-crc32"
_CHECKSUM_BYTES = 4


def encode_window(window: np.ndarray) -> bytes:
    """Encode one window (rows, cols, channels), uint8 or uint16."""
    return encode_windows(window[None])[0]


def encode_windows(windows: np.ndarray) -> list[bytes]:
    """Encode windows (cells, rows, cols, channels), uint8 or uint16, each for itself."""
    planes = np.moveaxis(windows, -1, 1)
    differences = np.empty(planes.shape, planes.dtype)
    differences[..., :1] = planes[..., :1]
    np.subtract(planes[..., 1:], planes[..., :-1], out=differences[..., 1:])
    return [_compressed(window) for window in differences]


def _compressed(differences: np.ndarray) -> bytes:
    """A window of differences (channels, rows, cols): the low bytes of all first, then the high ones."""
    values = differences.reshape(-1)
    if values.dtype.itemsize > 1:
        values = np.ascontiguousarray(values.reshape(-1, 1).view(np.uint8).T)
    encoded = bytes(imagecodecs.zstd_encode(values.tobytes(), level=LEVEL))
    return encoded + zlib.crc32(encoded).to_bytes(_CHECKSUM_BYTES, "little")


def decode_window(data: bytes, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    """Decode one window of `shape` (rows, cols, channels). Raises ValueError when it is damaged."""
    encoded = data[:-_CHECKSUM_BYTES]
    if zlib.crc32(encoded) != int.from_bytes(data[-_CHECKSUM_BYTES:], "little"):
        raise ValueError("its checksum is another")
    rows, cols, channels = shape
    flat = np.frombuffer(imagecodecs.zstd_decode(encoded), np.uint8).reshape(dtype.itemsize, -1)
    differences = np.ascontiguousarray(flat.T).view(dtype).reshape(channels, rows, cols)
    return np.moveaxis(np.cumsum(differences, axis=-1, dtype=dtype), 0, -1)
