"""Which codec for single crop windows? Size, encoding and decoding time per cell, on the example's images.

python benchmarks/crop_codecs.py [--cells 200] [--side 80]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np

from dp_assets.example.project import write_example_project
from dp_assets.storage.crop_codec import decode_window, encode_window
from dp_assets.storage.images import read_image

Codec = tuple[
    Callable[[np.ndarray], list[bytes]], Callable[[list[bytes], tuple[int, int, int], np.dtype], np.ndarray]
]


def by_plane(encode: Callable[[np.ndarray], bytes], decode: Callable[[bytes], np.ndarray]) -> Codec:
    """A codec for grey images applied to each channel."""
    return (
        lambda window: [encode(np.ascontiguousarray(window[..., c])) for c in range(window.shape[-1])],
        lambda data, _shape, _dtype: np.stack([decode(plane) for plane in data], axis=-1),
    )


CODECS: dict[str, Codec] = {
    "delta-bytes-zstd": (
        lambda window: [encode_window(window)],
        lambda data, shape, dtype: decode_window(data[0], shape, dtype),
    ),
    "png level 1": by_plane(lambda p: imagecodecs.png_encode(p, level=1), imagecodecs.png_decode),
    "jpeg-ls": by_plane(imagecodecs.jpegls_encode, imagecodecs.jpegls_decode),
    "jpeg xl effort 1": by_plane(
        lambda p: imagecodecs.jpegxl_encode(p, lossless=True, effort=1, numthreads=1),
        lambda data: imagecodecs.jpegxl_decode(data, numthreads=1),
    ),
}


def windows(root: Path, count: int, side: int, eight_bit: bool) -> list[np.ndarray]:
    """Windows at random places of the example's first field of view, (side, side, channels)."""
    files = sorted((root / "inputs" / "images").rglob("*.tif*"))
    stem = files[0].name.rsplit("_", 1)[0]
    image = np.stack([read_image(path) for path in files if path.name.startswith(stem)], axis=-1)
    if eight_bit:
        low, high = np.percentile(image, [0.05, 99.95])
        image = np.clip((image - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    rng = np.random.default_rng(0)
    corners = rng.integers(0, np.array(image.shape[:2]) - side, (count, 2))
    return [np.ascontiguousarray(image[r : r + side, c : c + side]) for r, c in corners]


def measure(codec: Codec, cells: list[np.ndarray]) -> tuple[float, float, float]:
    """Share of the raw size, milliseconds to encode and to decode a cell; ValueError when not lossless."""
    encode, decode = codec
    started = time.perf_counter()
    encoded = [encode(cell) for cell in cells]
    middle = time.perf_counter()
    decoded = [decode(data, cell.shape, cell.dtype) for data, cell in zip(encoded, cells, strict=True)]
    ended = time.perf_counter()
    if not all(np.array_equal(a, b) for a, b in zip(cells, decoded, strict=True)):
        raise ValueError("Expected a lossless codec.")
    size = sum(len(plane) for data in encoded for plane in data) / sum(cell.nbytes for cell in cells)
    return size, (middle - started) / len(cells) * 1e3, (ended - middle) / len(cells) * 1e3


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--side", type=int, default=80)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write_example_project(Path(name), plates=1, sites_per_well=1)
        print(f"{'bits':<6}{'codec':<20}{'size':>8}{'encode ms':>12}{'decode ms':>12}")
        for eight_bit in (False, True):
            cells = windows(Path(name), options.cells, options.side, eight_bit)
            for label, codec in CODECS.items():
                size, encode, decode = measure(codec, cells)
                print(f"{8 if eight_bit else 16:<6}{label:<20}{size:>8.3f}{encode:>12.3f}{decode:>12.3f}")


if __name__ == "__main__":
    main()
