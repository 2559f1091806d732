"""Cells a second that a device takes through the network, forward and in training, by box size and precision.

python -m benchmarks.device_rates [--boxes 96 128] [--batch 256] [--precision mixed_bfloat16] [--xla]
                                  [--network efficientnet] [--devices auto] [--json FILE]

Needs no images and no project: one batch of random 8-bit crops is shown again and again. Runs on the backend
that `KERAS_BACKEND` names. With `--project` and `--experiment` (a lane whose `training_set` is there) it also
measures how many cells its crop stores deliver to the training, which must be more than the device takes.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.speed.table import rich_table

CHANNELS = 5
CLASSES = 2
LEAST_SECONDS = 2.0


@dataclass(frozen=True)
class Rate:
    """Cells a second, the median over repetitions, and all of them."""

    what: str
    box: int
    batch: int
    precision: str
    cells_s: float
    repetitions: tuple[float, ...]


def repeated_rate(call: Callable[[], object], cells: int, repeats: int) -> tuple[float, ...]:
    """Cells a second of a call that works on `cells` and waits for the result; two calls go before."""
    call()
    started = time.perf_counter()
    call()
    calls = max(3, round(LEAST_SECONDS / (time.perf_counter() - started)))
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in range(calls):
            call()
        found.append(calls * cells / (time.perf_counter() - started))
    return tuple(found)


def device_rates(
    network: str,
    blocks: int,
    layer: str,
    boxes: Sequence[int],
    batch: int,
    precision: str,
    *,
    xla: bool,
    repeats: int,
) -> list[Rate]:
    """Forward (up to `layer`) and training rates of a network with so many `conv_blocks`, for every box."""
    import keras

    from dp_assets.config.experiment import load_experiment
    from dp_assets.example.experiments import usual_experiment
    from dp_assets.networks.registry import feature_layer_name
    from dp_assets.profiling.extraction import FeatureExtractor
    from dp_assets.training.assembly import assemble
    from dp_assets.training.targets import Goal

    found = []
    generator = np.random.default_rng(0)
    for box in boxes:
        images = {
            "channels": [f"channel{number}" for number in range(CHANNELS)],
            "file_format": "tif",
            "bits": 16,
            "width": 1080,
            "height": 1080,
        }
        content = usual_experiment(network, images, box_size=box, epochs=1, batch_size=batch)
        content["train"]["model"]["params"]["conv_blocks"] = blocks
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rates.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            experiment = load_experiment(path)
            training = experiment.training()
        trainee = assemble(
            training,
            heads=[("Treatment", tuple(str(number) for number in range(CLASSES)))],
            goal=Goal.CLASSES,
            shape=(box, box, CHANNELS),
            normalization="minmax",
            dtype_policy=precision,
            xla=xla,
            published_weights=False,
        )
        stored = generator.integers(0, 256, (batch, box, box, CHANNELS), np.uint8)
        normalised = stored.astype(np.float32) / np.float32(255)
        labels = np.eye(CLASSES, dtype=np.float32)[generator.integers(0, CLASSES, batch)]
        wanted = feature_layer_name(training.network.name, layer)
        extract = FeatureExtractor(trainee.network, wanted, batch, xla=xla)
        calls: dict[str, Callable[[], object]] = {
            "forward": lambda extract=extract, crops=normalised: extract(crops),
            "training": lambda model=trainee.model, crops=stored, labels=labels: model.train_on_batch(
                crops, labels
            ),
        }
        for what, call in calls.items():
            rates = repeated_rate(call, batch, repeats)
            found.append(Rate(what, box, batch, precision, statistics.median(rates), rates))
        keras.backend.clear_session()
    return found


def feed_rate(root: Path, experiment: str, batches: int, repeats: int) -> Rate:
    """Cells a second that the crop stores of an experiment deliver, drawn as a training draws them."""
    from benchmarks.speed.feed_process import draw_of, prepare

    lesson, _ = prepare(root, experiment)
    draw = draw_of(lesson, batches)
    rates = []
    for _ in range(repeats):
        started = time.perf_counter()
        with draw.feed() as feed:
            for number in range(len(feed)):
                feed[number]
        rates.append(len(draw.rows) / (time.perf_counter() - started))
    box = lesson.training.crops.shape[0]
    return Rate("feed", box, draw.batch_size, "as stored", statistics.median(rates), tuple(rates))


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    made.add_argument("--boxes", type=int, nargs="+", default=[96, 128])
    made.add_argument("--batch", type=int, default=256, help="cells at once")
    made.add_argument("--precision", default="mixed_bfloat16", help="float32, mixed_bfloat16, mixed_float16")
    made.add_argument("--network", default="efficientnet")
    made.add_argument("--blocks", type=int, default=0, help="conv_blocks of the network")
    made.add_argument("--layer", default="pool5", help="of the features")
    made.add_argument("--devices", default="auto")
    made.add_argument("--xla", action="store_true")
    made.add_argument("--repeats", type=int, default=3)
    made.add_argument("--project", type=Path, help="also measure the feed of this project")
    made.add_argument("--experiment", help="whose training set is drawn from")
    made.add_argument("--batches", type=int, default=50, help="of the feed")
    made.add_argument("--json", type=Path, help="write all numbers here")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    options = parser().parse_args(arguments)
    from dp_assets.networks.accelerator import AcceleratorSettings, configure_accelerator

    report = configure_accelerator(
        AcceleratorSettings(devices=options.devices, precision=options.precision, xla=options.xla)
    )
    rates = device_rates(
        options.network,
        options.blocks,
        options.layer,
        options.boxes,
        options.batch,
        options.precision,
        xla=options.xla,
        repeats=options.repeats,
    )
    if options.project:
        rates.append(feed_rate(options.project, options.experiment, options.batches, options.repeats))
    rows = [
        (rate.what, str(rate.box), str(rate.batch), rate.precision, f"{rate.cells_s:,.0f}") for rate in rates
    ]
    console = Console(highlight=False)
    console.print(", ".join(report.devices))
    console.print(rich_table("Rates", (("what", "box", "batch", "precision", "cells/s"), rows)))
    if options.json:
        found = {"devices": list(report.devices), "rates": [asdict(rate) for rate in rates]}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
