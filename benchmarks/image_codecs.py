"""Which codec for compressed images? Size, and time to write and to read a field of view, on real plates.

The images of each project are prepared with `dp-assets run prepare`, stretched to 8 bits and again
unstretched in 16. Every field of view is then encoded and read back with each codec, in one thread. Reading
is that of the pipeline: file, checks, decoding. Every decoded plane must equal what was encoded, bit for bit.

python benchmarks/image_codecs.py PROJECT [PROJECT ...] [--example]

Prints a Markdown table; `--json FILE` also keeps the numbers. `--example` adds a plate of the example
project, which has the grey levels and the noise of a 16-bit camera.
"""

import argparse
import hashlib
import io
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from dp_assets.example.project import write_example_project
from dp_assets.storage.image_codecs import CODECS, encode
from dp_assets.storage.images import read_image

Encode = Callable[[np.ndarray], bytes]


def tiff(**options: Any) -> Encode:
    """TIFF with other options than the codec that is offered."""

    def encode_tiff(plane: np.ndarray) -> bytes:
        sink = io.BytesIO()
        tifffile.imwrite(
            sink, plane, predictor=True, photometric="minisblack", metadata=None, maxworkers=1, **options
        )
        return sink.getvalue()

    return encode_tiff


def offered(codec: Any) -> Encode:
    """A codec of `prepare.compression.codec`."""
    return lambda plane: encode(plane, codec)


VARIANTS: dict[str, Encode] = {
    **{f"`{codec}`": offered(codec) for codec in CODECS},
    "PNG, encoder's choice, level 6": lambda plane: bytes(imagecodecs.png_encode(plane, level=6)),
    "JPEG XL, effort 3": lambda plane: bytes(
        imagecodecs.jpegxl_encode(plane, lossless=True, effort=3, numthreads=1)
    ),
    "TIFF, zstd": tiff(compression="zstd", compressionargs={"level": 1}),
    "TIFF, LZW": tiff(compression="lzw"),
}
"""The offered codecs, and what they were chosen from."""


@dataclass(frozen=True)
class Measurement:
    """One codec on one set of images; times are medians over the fields of view, in milliseconds.

    Attributes
    ----------
    data, bits, codec : what was measured.
    fields, planes : number of fields of view, and of images.
    size : bytes of the files relative to those of the plain pixels.
    write_ms, write_cpu_ms : encoding all channels of a field: by the clock, and of the processor.
    read_ms, read_cpu_ms : the same of reading them.
    checksum : digest of all decoded pixels.
    """

    data: str
    bits: int
    codec: str
    fields: int
    planes: int
    size: float
    write_ms: float
    write_cpu_ms: float
    read_ms: float
    read_cpu_ms: float
    checksum: str


def prepared_fields(source: Path, stretch: str, work: Path) -> list[list[np.ndarray]]:
    """The compressed images of a project, a list of planes for every field of view."""
    root = work / f"{source.resolve().name}-{stretch}"
    for folder in ("images", "metadata"):
        shutil.copytree(source / "inputs" / folder, root / "inputs" / folder)
    base = json.loads(sorted((source / "inputs" / "config").glob("*.json"))[0].read_text(encoding="utf-8"))
    settings = {
        "dataset": {"images": base["dataset"]["images"]},
        "prepare": {"compression": {"implement": True, "scaling_factor": 1.0, "stretch": stretch}},
    }
    (root / "inputs" / "config").mkdir()
    (root / "inputs" / "config" / "codecs.json").write_text(json.dumps(settings), encoding="utf-8")
    for stage in ("index", "prepare"):
        command = [sys.executable, "-m", "dp_assets.cli", "--project", str(root), "run", stage]
        subprocess.run(command, check=True, stdout=sys.stderr)
    fields = []
    for plate in sorted((root / "outputs" / "compressed" / "images").iterdir()):
        manifest = json.loads((plate / "MANIFEST.json").read_text(encoding="utf-8"))
        for site in manifest["sites"]:
            fields.append([read_image(plate / image["file"]) for image in site["images"]])
    shutil.rmtree(root)
    return fields


def measure(name: str, fields: list[list[np.ndarray]], codec: str, folder: Path) -> Measurement:
    """Encode and read every field once; ValueError when a pixel differs."""
    path = folder / "image"
    times: dict[str, list[float]] = {"write": [], "write_cpu": [], "read": [], "read_cpu": []}
    digest, encoded_bytes = hashlib.blake2b(digest_size=8), 0
    for planes in fields:
        started, cpu_started = time.perf_counter(), time.process_time()
        encoded = [VARIANTS[codec](plane) for plane in planes]
        times["write"].append(time.perf_counter() - started)
        times["write_cpu"].append(time.process_time() - cpu_started)
        encoded_bytes += sum(map(len, encoded))
        for number, data in enumerate(encoded):
            path.with_suffix(f".{number}").write_bytes(data)
        started, cpu_started = time.perf_counter(), time.process_time()
        decoded = [read_image(path.with_suffix(f".{number}")) for number in range(len(planes))]
        times["read"].append(time.perf_counter() - started)
        times["read_cpu"].append(time.process_time() - cpu_started)
        for plane, found in zip(planes, decoded, strict=True):
            if found.dtype != plane.dtype or not np.array_equal(found, plane):
                raise ValueError(f"Expected {codec} to lose nothing. Received other pixels ({name}).")
            digest.update(found.tobytes())
    first = fields[0][0]
    medians = {f"{what}_ms": round(statistics.median(values) * 1e3, 2) for what, values in times.items()}
    return Measurement(
        data=name,
        bits=first.dtype.itemsize * 8,
        codec=codec,
        fields=len(fields),
        planes=sum(map(len, fields)),
        size=round(encoded_bytes / sum(plane.nbytes for planes in fields for plane in planes), 4),
        checksum=digest.hexdigest(),
        **medians,
    )


def table(results: list[Measurement]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| images | bits | codec | size | write ms | write CPU ms | read ms | read CPU ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results:
        times = " | ".join(
            f"{value:.1f}" for value in (row.write_ms, row.write_cpu_ms, row.read_ms, row.read_cpu_ms)
        )
        lines.append(f"| {row.data} | {row.bits} | {row.codec} | {row.size:.3f} | {times} |")
    return "\n".join(lines)


def main() -> None:
    """Measure all codecs on all projects, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("projects", type=Path, nargs="+", help="project folders with inputs/")
    parser.add_argument("--example", action="store_true", help="add a plate of the example project")
    parser.add_argument("--work", type=Path, help="where temporary files are made")
    parser.add_argument("--json", type=Path, help="file for all numbers")
    options = parser.parse_args()
    results: list[Measurement] = []
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        work = Path(name)
        projects = list(options.projects)
        if options.example:
            write_example_project(work / "example", plates=1, sites_per_well=1)
            projects.append(work / "example")
        for project in projects:
            for stretch in ("image", "none"):
                fields = prepared_fields(project, stretch, work)
                label = f"{project.resolve().name}, stretch {stretch}"
                for codec in VARIANTS:
                    results.append(measure(label, fields, codec, work))
                    print(results[-1], file=sys.stderr, flush=True)
                sums = {row.checksum for row in results if row.data == label}
                if len(sums) != 1:
                    raise ValueError(f"Expected the same pixels of every codec. Received {sums} ({label}).")
    print(table(results))
    if options.json is not None:
        rows = [asdict(row) for row in results]
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
