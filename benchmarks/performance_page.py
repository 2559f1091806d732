"""Write docs/performance.md from benchmark results; nothing on it is typed by hand but the notes.

python -m benchmarks.performance_page benchmarks/results/speed-*.json
                                      [--notes benchmarks/performance_notes.md] [--out docs/performance.md]
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.speed.large_data_set import DataSet, Node, cores_for_gpu, estimate_rows
from benchmarks.speed.result import Result, read_result
from benchmarks.speed.scaling import scaling_rows, step_rows
from benchmarks.speed.table import limit_rows, markdown_table, stage_rows, start_rows, target_rows

REPOSITORY = Path(__file__).resolve().parents[1]
NOTES = REPOSITORY / "benchmarks" / "performance_notes.md"
PAGE = REPOSITORY / "docs" / "performance.md"
SOURCES = {"tiff-zlib": "zlib TIFF", "tiff": "uncompressed TIFF", "png": "PNG"}

HEAD = """# Performance

What every stage costs, and how close that is to what the machine allows. Written by
`python -m benchmarks.performance_page` from results of `make bench`; a section is one run.

- *sites/s*, *cells/s*, *CPU ms/site*: the cost of one more site, from processes of two sizes. What is left
  for no site at all is the *start-up*. *Whole*: the process of the larger size.
- *over limit*: CPU time of a site, over that of the parts that cannot be avoided, measured in the same run on
  the same files: decoding the images (twice for illumination and compression, once for the others), encoding
  images or crops with the same codec and level, the network's forward pass on a constant batch.
- *dagster run*, among the limits: a run of one asset of one plate that does nothing, with one check;
  Dagster's share of a plate's run.
- *peak MB*: the largest process of the stage.
- `deepprofiler` is DeepProfiler 0.5.1 as released, on the same files; its runs and ours took turns.

Measure it on your machine with `make bench BENCH="--peer --json mine.json"`; `--source`, `--sites`, `--shape`
and so on say what, `--scaling` measures many plates and sites. Compare it with a result of this page by
`python -m benchmarks.compare benchmarks/results/THAT.json mine.json`.
"""


def page(results: Sequence[tuple[str, Result]], notes: str) -> str:
    """The page as Markdown.

    Parameters
    ----------
    results : file name and content of every result; sections come in this order.
    notes : Markdown that is put at the end.
    """
    sections = [HEAD.strip()]
    for name, result in results:
        sections.append(
            "\n\n".join(_scaling(name, result) if result.kind == "scaling" else _speed(name, result))
        )
    first = next(((name, result) for name, result in results if result.kind == "speed"), None)
    if first is not None:
        sections.append("\n\n".join(_large(*first)))
    return "\n\n".join([*sections, notes.strip()]).rstrip() + "\n"


def _speed(name: str, result: Result) -> Iterator[str]:
    images = result.settings.images
    size = f"{images.channels} x {images.rows} x {images.cols}"
    yield f"## {SOURCES[images.source]}: {images.sites} sites, {size}"
    yield _about(name, result)
    yield markdown_table(stage_rows(result))
    yield "Where the start-up goes, in seconds since the process began:"
    yield markdown_table(start_rows(result))
    yield "The limits:"
    yield markdown_table(limit_rows(result))
    rows = target_rows(result)
    if rows[1]:
        yield "What is asked for, and whether it is so:"
        yield markdown_table(rows)
    if result.image_bytes:
        sizes = ", ".join(f"{what} {size / 1e6:.2f} MB" for what, size in result.image_bytes.items())
        yield f"The average image file: {sizes}."


def _large(name: str, result: Result) -> Iterator[str]:
    """What a large data set would take, from the rates of one run."""
    data, node, channels = DataSet(), Node(), result.settings.images.channels
    rows = estimate_rows(result)
    if not rows[1]:
        return
    yield "## A data set of JUMP's size, on paper"
    yield (
        f"{data.plates:,} plates x {data.sites:,} sites x {channels} channels, cells and images as in "
        f"`{name}`, whose rates these are. Of a node is assumed, not measured: {node.cores} cores as fast as "
        f"those there, a GPU that takes {node.gpu_cells_s:,.0f} cells a second, "
        f"{node.storage_bytes_s / 1e9:g} GB/s from storage when alone and "
        f"{node.shared_bytes_s / 1e9:g} GB/s for all nodes together. Crops count as bytes before their "
        "compression. What takes longest alone is the limit; the rest goes on beside it."
    )
    yield markdown_table(rows)
    cores = cores_for_gpu(result)
    if cores is not None:
        yield (
            f"To keep such a GPU busy, profiling reads, cuts and normalises on about {cores:.0f} cores "
            "(from PNG files); a GPU of twice the speed wants twice as many."
        )


def _scaling(name: str, result: Result) -> Iterator[str]:
    images = result.settings.images
    yield f"## Many plates, many sites ({images.channels} x {images.rows} x {images.cols})"
    yield _about(name, result)
    yield "*ms/site more*: against the smallest size of the same stage."
    yield markdown_table(scaling_rows(result))
    yield "Whether that stays so, from step to step (a plate more, or a site of one plate more):"
    yield markdown_table(step_rows(result))


def _about(name: str, result: Result) -> str:
    machine, images = result.machine, result.settings.images
    programs = ", ".join(f"{program} {version}" for program, version in result.versions.items())
    return (
        f"{result.date}, {machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB, "
        f"networks on {', '.join(machine.devices) or 'the CPU'}; load before {machine.load_before:g}. "
        f"{images.sites} sites on {images.plates} plates, about {images.cells} cells each, box {images.box}; "
        f"{result.settings.repeats} repetitions, medians. {programs}. All numbers: `{name}`."
    )


def main() -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--notes", type=Path, default=NOTES)
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    results = [(path.name, read_result(path)) for path in options.results]
    options.out.write_text(page(results, options.notes.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
