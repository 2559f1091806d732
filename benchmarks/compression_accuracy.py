"""What does compression cost downstream? The same network trained on each way of storing a project's pixels.

Every choice gets a copy of the project's inputs in a temporary folder and goes through `dp-assets run all`:
`cnn` is trained with several seeds, the validation accuracy of the last epoch is taken from its log, and the
rank correlation of well profiles with dose from `dp-assets figure dose-response`. Lossless codecs are not
compared here: they give the same pixels (see image_codecs.py, which checks that).

python benchmarks/compression_accuracy.py PROJECT [--epochs 5] [--seeds 0 1 2] [--exclude COLUMN=VALUE]

Prints a Markdown table; `--json FILE` also keeps every single number.
"""

import argparse
import csv
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dp_assets.orchestration.dose_response_report import DoseColumns, dose_response_report

IMAGE = {"implement": True, "stretch": "image"}
PLATE = {"implement": True, "stretch": "plate"}
NONE = {"implement": True, "stretch": "none"}
CHOICES: dict[str, tuple[dict[str, Any], str]] = {
    "original images": ({"implement": False, "scaling_factor": 1.0}, "minmax"),
    "stretch image": ({**IMAGE, "scaling_factor": 1.0}, "minmax"),
    "stretch plate": ({**PLATE, "scaling_factor": 1.0}, "minmax"),
    "stretch none": ({**NONE, "scaling_factor": 1.0}, "minmax"),
    "stretch image, scaled 0.5": ({**IMAGE, "scaling_factor": 0.5}, "minmax"),
    "stretch plate, scaled 0.5": ({**PLATE, "scaling_factor": 0.5}, "minmax"),
    "stretch none, scaled 0.5": ({**NONE, "scaling_factor": 0.5}, "minmax"),
    "stretch plate, normalization plate": ({**PLATE, "scaling_factor": 1.0}, "plate"),
}
"""Name -> `prepare.compression`, `single_cells.normalization`."""


def experiment(
    base: dict[str, Any],
    choice: tuple[dict[str, Any], str],
    options: argparse.Namespace,
    seed: int,
) -> dict[str, Any]:
    """The project's own experiment with this choice, the small network and this seed."""
    compression, normalization = choice
    return {
        "dataset": {
            **base["dataset"],
            "locations": {**base["dataset"]["locations"], "box_size": options.box_size},
        },
        "prepare": {**base.get("prepare", {}), "compression": compression},
        "single_cells": {"normalization": normalization},
        "train": {
            "partition": base["train"]["partition"],
            "model": {
                "name": "cnn",
                "epochs": options.epochs,
                "augmentations": True,
                "seed": seed,
                "params": {"learning_rate": 0.001, "batch_size": 32, "conv_blocks": 3, "feature_dim": 256},
            },
        },
        "profile": {"feature_layer": "features", "batch_size": 64},
    }


def prepare_project(
    source: Path, root: Path, base: dict[str, Any], name: str, options: argparse.Namespace
) -> list[str]:
    """Copy the inputs and write one experiment per seed; the names of the experiments."""
    for folder in ("images", "locations", "metadata"):
        shutil.copytree(source / "inputs" / folder, root / "inputs" / folder)
    configs = root / "inputs" / "config"
    configs.mkdir()
    for seed in options.seeds:
        settings = experiment(base, CHOICES[name], options, seed)
        (configs / f"seed{seed}.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return [f"seed{seed}" for seed in options.seeds]


def measure(source: Path, base: dict[str, Any], name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one choice and read off its results.

    Returns
    -------
    `accuracy`: validation accuracy of the last epoch, one per seed. `spearman`: compound -> one per seed.
    `bytes`: size of the image files that crops were cut from. `seconds`: of the whole run.
    """
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        root = Path(folder)
        experiments = prepare_project(source, root, base, name, options)
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "dp_assets.cli", "--project", str(root), "run", "all"],
            check=True,
            stdout=sys.stderr,
        )
        compressed = CHOICES[name][0]["implement"]
        pixels = root / ("outputs/compressed" if compressed else "inputs/images")
        found: dict[str, Any] = {
            "accuracy": [],
            "spearman": {},
            "seconds": round(time.perf_counter() - started, 1),
            "bytes": sum(
                file.stat().st_size
                for file in pixels.rglob("*")
                if file.suffix not in (".json", ".npz") and file.is_file()
            ),
        }
        columns = DoseColumns(
            options.compound, options.dose, tuple(tuple(pair.split("=", 1)) for pair in options.exclude)
        )
        for one in experiments:
            found["accuracy"].append(last_accuracy(root / "outputs" / one / "trained_model" / "log.csv"))
            for response in dose_response_report(root, one, columns)[1]:
                found["spearman"].setdefault(response.compound, []).append(round(response.spearman, 4))
        return found


def last_accuracy(log: Path) -> float:
    """Validation accuracy of the last epoch of a log.csv."""
    with log.open(encoding="utf-8", newline="") as file:
        return round(float(list(csv.DictReader(file))[-1]["val_accuracy"]), 4)


def spread(values: list[float]) -> str:
    """Mean, and in brackets the smallest and the largest."""
    return f"{statistics.fmean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    compounds = sorted({name for found in results.values() for name in found["spearman"]})
    head = ["pixels", "MB", "validation accuracy", *(f"Spearman {name}" for name in compounds)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name, found in results.items():
        cells = [f"{found['bytes'] / 1e6:.1f}", spread(found["accuracy"])]
        cells += [spread(found["spearman"][compound]) for compound in compounds]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure every choice, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", type=Path, help="a project folder with inputs/ and one experiment")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--box-size", type=int, default=48)
    parser.add_argument("--choices", nargs="+", choices=list(CHOICES), default=list(CHOICES))
    parser.add_argument("--compound", default="Compound", help="index column with the compound")
    parser.add_argument("--dose", default="Concentration", help="index column with the dose")
    parser.add_argument("--exclude", nargs="*", default=[], metavar="COLUMN=VALUE", help="wells to leave out")
    parser.add_argument("--work", type=Path, help="where temporary projects are made")
    parser.add_argument("--json", type=Path, help="file for all numbers")
    options = parser.parse_args()
    base = json.loads(
        sorted((options.project / "inputs" / "config").glob("*.json"))[0].read_text(encoding="utf-8")
    )
    report: dict[str, Any] = {
        "project": options.project.resolve().name,
        "settings": {key: getattr(options, key) for key in ("epochs", "seeds", "box_size", "exclude")},
        "versions": {name: version(name) for name in ("dp-assets", "keras", "tensorflow", "numpy")},
        "machine": f"{platform.system()} {platform.machine()}",
        "results": {},
    }
    for name in options.choices:
        report["results"][name] = measure(options.project, base, name, options)
        print(name, report["results"][name], file=sys.stderr, flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(report["results"]))


if __name__ == "__main__":
    main()
