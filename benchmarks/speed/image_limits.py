"""A process that measures what images and crops take at least: decoding, encoding, copying.

python -m benchmarks.speed.image_limits REQUEST ANSWER

The libraries are called as directly as they can be, on exactly the files and with exactly the codecs and
levels of the stages, in as many threads as there are cores. Files are in the system's cache.
"""

import io
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from benchmarks.speed.result import Limit
from benchmarks.speed.timing import timed
from dp_assets.storage.crop_codec import decode_window, encode_window
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.image_codecs import CODECS, encode

GIGABYTE = 1e9
COPY_BYTES = 2**27

Decoder = Callable[[bytes], np.ndarray]


def _by_tifffile(data: bytes) -> np.ndarray:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        return tiff.pages.first.asarray(maxworkers=1)


TIFF_DECODERS: dict[str, Decoder] = {
    "tifffile": _by_tifffile,
    "imagecodecs (libtiff)": imagecodecs.tiff_decode,
}
DECODERS: dict[str, dict[str, Decoder]] = {
    ".tif": TIFF_DECODERS,
    ".png": {"imagecodecs (libpng)": imagecodecs.png_decode},
    ".jxl": {"imagecodecs (libjxl)": lambda data: imagecodecs.jpegxl_decode(data, numthreads=1)},
    ".jls": {"imagecodecs (CharLS)": imagecodecs.jpegls_decode},
}


def _read(decode: Decoder, path: Path) -> np.ndarray:
    return decode(path.read_bytes())


def decoding(name: str, files: Sequence[Path], threads: int, repeats: int) -> Limit:
    """Reading and decoding image files: the fastest of the libraries that can."""
    found = []
    for variant, decode in DECODERS[files[0].suffix].items():
        walls, cpus = timed(files, partial(_read, decode), threads=threads, repeats=repeats)
        found.append(Limit(name, "image", len(files), tuple(walls), tuple(cpus), variant))
    return min(found, key=lambda limit: statistics.median(limit.cpu_s))


def encoding(planes: Sequence[np.ndarray], threads: int, repeats: int) -> list[Limit]:
    """Encoding the pixels of compressed images, with every codec that is offered."""
    limits = []
    for codec in CODECS:
        walls, cpus = timed(planes, partial(encode, codec=codec), threads=threads, repeats=repeats)
        limits.append(Limit(f"encode {codec}", "image", len(planes), tuple(walls), tuple(cpus)))
    return limits


def crops(store: CropStore, threads: int, repeats: int) -> list[Limit]:
    """Encoding and decoding the windows of a crop store."""
    windows = list(store.windows(np.arange(len(store))))
    encoded = [encode_window(window) for window in windows]
    shape, dtype = windows[0].shape, windows[0].dtype
    measured = {
        "encode crops": timed(windows, encode_window, threads=threads, repeats=repeats),
        "decode crops": timed(
            encoded, lambda data: decode_window(data, shape, dtype), threads=threads, repeats=repeats
        ),
    }
    return [
        Limit(name, "cell", len(windows), tuple(walls), tuple(cpus))
        for name, (walls, cpus) in measured.items()
    ]


def copying(threads: int, repeats: int) -> Limit:
    """Copying memory, per gigabyte that is read and written again."""
    pairs = [(np.ones(COPY_BYTES, np.uint8), np.empty(COPY_BYTES, np.uint8)) for _ in range(threads)]
    walls, cpus = timed(pairs, lambda pair: np.copyto(pair[1], pair[0]), threads=threads, repeats=repeats)
    share = GIGABYTE / COPY_BYTES
    return Limit(
        "copy memory",
        "gigabyte",
        len(pairs),
        tuple(wall * share for wall in walls),
        tuple(cpu * share for cpu in cpus),
    )


def main() -> None:
    """Measure what the request names."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    threads, repeats = request["threads"], request["repeats"]
    sources = [Path(name) for name in request["sources"]]
    limits = [decoding("decode source", sources, threads, repeats)]
    sizes = {"source": statistics.mean(path.stat().st_size for path in sources)}
    for codec, names in request["compressed"].items():
        files = [Path(name) for name in names]
        limits.append(decoding(f"decode {codec}", files, threads, repeats))
        sizes[codec] = statistics.mean(path.stat().st_size for path in files)
    decode = next(iter(DECODERS[Path(request["compressed"]["png"][0]).suffix].values()))
    planes = [decode(Path(name).read_bytes()) for name in request["compressed"]["png"]]
    limits += encoding(planes, threads, repeats)
    limits += crops(CropStore.open(Path(request["crops"])), threads, repeats)
    limits.append(copying(threads, repeats))
    answer = {"limits": [asdict(limit) for limit in limits], "image_bytes": sizes}
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
