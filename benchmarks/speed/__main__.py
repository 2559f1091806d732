"""Measure how fast every stage is, against its limit and against DeepProfiler 0.5.1.

python -m benchmarks.speed [--sites 24] [--plates 2] [--shape 1080x1080] [--source tiff-zlib] [--peer]
                           [--repeats 3] [--work DIR] [--json FILE]
python -m benchmarks.speed --scaling [--json FILE]
"""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.speed.measuring import Benchmark
from benchmarks.speed.peer import peer_environment
from benchmarks.speed.result import write_result
from benchmarks.speed.scaling import Scaling, scaling_rows, step_rows
from benchmarks.speed.settings import SOURCES, PlatesSettings, Settings
from benchmarks.speed.stages import STAGES
from benchmarks.speed.table import rich_table, tables

NARROWEST = 140

console = Console(highlight=False)
console.width = max(console.width, NARROWEST)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    images = PlatesSettings()
    made.add_argument("--sites", type=int, default=images.sites, help="fields of view on all plates together")
    made.add_argument("--plates", type=int, default=images.plates)
    made.add_argument("--channels", type=int, default=images.channels)
    made.add_argument("--shape", type=_shape, default=(images.rows, images.cols), metavar="ROWSxCOLS")
    made.add_argument("--source", choices=SOURCES, default=images.source, help="how images are stored")
    made.add_argument("--cells", type=int, default=images.cells, help="of a site")
    made.add_argument("--box", type=int, default=images.box, help="side of a crop, pixels")
    made.add_argument("--repeats", type=int, default=Settings.repeats, help="of every process; medians count")
    made.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    made.add_argument("--fast-codec", default=Settings.fast_codec, help="measured beside PNG")
    made.add_argument("--steps", type=int, nargs=2, default=Settings.steps, help="of training, few and many")
    made.add_argument("--peer", action="store_true", help="also time DeepProfiler 0.5.1")
    made.add_argument("--peer-python", help="Python 3.10 or 3.11 for it")
    made.add_argument("--peer-environment", type=Path, help="its virtual environment, made when not there")
    made.add_argument("--scaling", action="store_true", help="many plates and many sites, small images")
    made.add_argument("--work", type=Path, help="folder to work in; plates made in it are used again")
    made.add_argument("--json", type=Path, help="write all numbers here")
    return made


def main() -> int:
    """Run from the command line."""
    options = parser().parse_args()
    rows, cols = options.shape
    images = PlatesSettings(
        plates=options.plates,
        sites=options.sites,
        channels=options.channels,
        rows=rows,
        cols=cols,
        cells=options.cells,
        box=options.box,
        source=options.source,
    )
    settings = Settings(
        images, steps=tuple(options.steps), fast_codec=options.fast_codec, repeats=options.repeats
    )
    with tempfile.TemporaryDirectory(prefix="dp-assets-bench-") as name:
        work = (options.work or Path(name)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        if options.scaling:
            result = Scaling(work, settings, console.print).measure()
            shown = [rich_table("Scaling", scaling_rows(result)), rich_table("Steps", step_rows(result))]
        else:
            peer = None
            if options.peer:
                folder = options.peer_environment or work / "peer-environment"
                peer = peer_environment(folder.resolve(), options.peer_python)
            result = Benchmark(work, settings, console.print, peer, options.stages).measure()
            shown = tables(result)
    for table in shown:
        console.print(table)
    if options.json:
        write_result(options.json, result)
    return 0


def _shape(text: str) -> tuple[int, int]:
    rows, cols = text.lower().split("x")
    return int(rows), int(cols)


if __name__ == "__main__":
    sys.exit(main())
