"""Materializing a project's assets in this process, and what each run said about them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from click.testing import CliRunner, Result
from dagster import DagsterInstance

from dp_assets.cli import main
from dp_assets.orchestration.code_location import build_defs

INDEX = ("image_index",)
TABLES = ("plate_images", "plate_annotations", "cell_locations")
PIXELS = ("illumination_functions", "compressed_images", "single_cells/box32")
MODEL = ("cnn/training_set", "cnn/trained_model")
PROFILES = ("cnn/cell_features", "cnn/well_profiles")
COMPUTED = (*PIXELS, "cnn/trained_model", "cnn/cell_features")


@dataclass(frozen=True)
class Ran:
    """What one run did.

    Attributes
    ----------
    succeeded : whether every asset was made.
    metadata : asset -> metadata name -> plain value, of every asset that was made.
    versions : asset -> data version.
    failures : the messages of the assets that failed.
    failed_checks : check name -> its metadata, of every check that did not pass.
    """

    succeeded: bool
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    failed_checks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def recomputed(self) -> set[str]:
        """The assets that say they computed something."""
        return {name for name, facts in self.metadata.items() if facts.get("recomputed")}

    @property
    def message(self) -> str:
        """The one failure there was."""
        assert len(self.failures) == 1, self.failures
        return self.failures[0]


@dataclass
class Workshop:
    """A project with a Dagster instance of its own, in memory."""

    root: Path
    instance: DagsterInstance = field(default_factory=DagsterInstance.ephemeral)

    def make(self, *assets: str, plate: str | None = None, force: bool = False) -> Ran:
        """Materialize assets (keys with slashes) with the configuration as it is now."""
        defs = build_defs(self.root)
        keys = [dg.AssetKey(name.split("/")) for name in assets]
        forced = {"__".join(key.path): {"config": {"force": True}} for key in keys} if force else {}
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, "ops": forced},
            instance=self.instance,
            asset_selection=keys,
            partition_key=plate,
            raise_on_error=False,
        )
        return _summarised(result)

    def make_all(self, *plates: str) -> dict[str, Ran]:
        """The whole graph for some plates, in the order of work; every run has to succeed."""
        runs = {"index": self.make(*INDEX)}
        for plate in plates:
            runs[f"prepare {plate}"] = self.make(*TABLES, *PIXELS, plate=plate)
        runs["train"] = self.make(*MODEL)
        for plate in plates:
            runs[f"profile {plate}"] = self.make(*PROFILES, plate=plate)
        for name, run in runs.items():
            assert run.succeeded, (name, run.failures)
        return runs

    def configure(self, change: Callable[[dict], None], experiment: str = "cnn") -> None:
        """Change an experiment's file."""
        path = self.root / "inputs" / "config" / f"{experiment}.json"
        data = json.loads(path.read_text(encoding="utf-8"))
        change(data)
        path.write_text(json.dumps(data), encoding="utf-8")

    def rewrite_index(self, change: Callable[[list[str]], list[str]]) -> None:
        """Change the lines of index.csv."""
        path = self.root / "inputs" / "metadata" / "index.csv"
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(change(lines)) + "\n", encoding="utf-8")

    def contents(self) -> dict[str, bytes]:
        """Relative path -> bytes of everything published."""
        return contents(self.root / "outputs")


def call(root: Path, *arguments: str) -> Result:
    """Run `dp-assets --project ROOT ...` in this process."""
    return CliRunner().invoke(main, ["--project", str(root), *arguments], catch_exceptions=False)


def contents(folder: Path) -> dict[str, bytes]:
    """Relative path -> bytes of every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _summarised(result: dg.ExecuteInProcessResult) -> Ran:
    run = Ran(result.success)
    for event in result.all_events:
        if event.is_step_materialization:
            made = event.step_materialization_data.materialization
            name = made.asset_key.to_user_string()
            run.metadata[name] = plain(made.metadata)
            run.versions[name] = (made.tags or {})["dagster/data_version"]
        elif event.is_step_failure:
            run.failures.append(_message(event))
    for evaluation in result.get_asset_check_evaluations():
        if not evaluation.passed:
            run.failed_checks[evaluation.check_name] = plain(evaluation.metadata)
    return run


def plain(metadata: Mapping[str, dg.MetadataValue]) -> dict[str, Any]:
    """Metadata as plain values; tables as lists of dicts."""
    values: dict[str, Any] = {}
    for name, value in metadata.items():
        if isinstance(value, dg.TableMetadataValue):
            values[name] = [dict(record.data) for record in value.records]
        else:
            values[name] = value.value
    return values


def _message(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    return str(data.error.to_string() if data.error is not None else event.message)
