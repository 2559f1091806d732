"""The demonstration: a small example project from images to scored profiles, and what came of it."""

import time
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from dp_assets.example.project import write_example_project
from dp_assets.orchestration.project_setup import set_up_project
from dp_assets.orchestration.run_display import run_stages
from dp_assets.orchestration.stage_runner import STAGES, StageOutcome
from dp_assets.storage.folders import open_folder
from dp_assets.storage.layout import ProjectLayout
from dp_assets.storage.model_folder import ModelFolder
from dp_assets.storage.tables import StoredTable

SCORES = (("NSC", "nsc"), ("mAP", "map"), ("active", "activity_fraction"))


def run_demo(root: Path, *, keep: bool, console: Console) -> bool:
    """Write the example, materialize everything, print results and where they lie; True when all is well."""
    started = time.monotonic()
    if not (keep and (root / "inputs").is_dir()):
        with console.status("drawing two example plates"):
            summary = write_example_project(root)
        console.print(
            f"[green]✓[/green] wrote {len(summary.plates)} plates, {summary.images} images of "
            f"{len(summary.channels)} channels, {summary.cells} cells in {root}"
        )
    set_up_project(root)
    outcomes = run_stages(root, STAGES, None, (), force=False, verbose=False, console=console)
    seconds = time.monotonic() - started
    if not all(outcome.succeeded for outcome in outcomes):
        return False
    _print_results(root, outcomes, seconds, console)
    return True


def _print_results(root: Path, outcomes: list[StageOutcome], seconds: float, console: Console) -> None:
    outputs = Path(str(ProjectLayout.of(root).store))
    headers = (
        "experiment",
        "cells",
        "features",
        "wells",
        "validation\naccuracy",
        "training\nseconds",
        *(heading for heading, _ in SCORES),
    )
    table = Table(*headers, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for folder in sorted(outputs.glob("*/trained_model")):
        table.add_row(*_result_row(folder))
    console.print(table)
    by_stage: dict[str, float] = {}
    for outcome in outcomes:
        by_stage[outcome.stage] = by_stage.get(outcome.stage, 0.0) + outcome.seconds
    timings = ", ".join(f"{stage} {spent:.0f} s" for stage, spent in by_stage.items())
    console.print(f"{seconds:.0f} s in all: {timings}")
    console.print("Results:")
    for place in (
        "intensities",
        "compressed/images",
        "single_cells",
        "*/trained_model",
        "*/features",
        "*/well_profiles",
        "*/profiles.parquet",
        "*/evaluation/evaluation.html",
        "comparison/comparison.html",
    ):
        for path in sorted(outputs.glob(place)):
            if path.is_file() or any(path.iterdir()):
                console.print(f"  {path}")
    console.print(
        f"See them in the Dagster UI: [bold]make ui[/bold], or [bold]dp-assets --project {root} ui[/bold], "
        "then open http://127.0.0.1:3000/asset-groups"
    )


def _result_row(model: Path) -> list[str]:
    experiment = model.parent
    card = ModelFolder.open(model).card
    features = [StoredTable(path) for path in sorted((experiment / "features").glob("*.parquet"))]
    wells = [StoredTable(path) for path in sorted((experiment / "well_profiles").glob("*.parquet"))]
    accuracy = card.scores.get("val_accuracy")
    seconds = pd.read_csv(model / "log.csv")["seconds"].sum()
    return [
        experiment.name,
        str(sum(table.row_count() for table in features)),
        str(sum(1 for name in features[0].schema().names if not name.startswith("Metadata_"))),
        str(sum(table.row_count() for table in wells)),
        "-" if accuracy is None else f"{accuracy:.3f}",
        f"{seconds:.0f}",
        *_score_cells(experiment),
    ]


def _score_cells(experiment: Path) -> list[str]:
    """The headline scores of an experiment, "-" where it has none."""
    try:
        values = open_folder(experiment / "evaluation").manifest["scores"]
    except FileNotFoundError:
        values = {}
    return [f"{values[name]:.2f}" if name in values else "-" for _, name in SCORES]
