"""Six plates through the whole graph on two machines, one of which is lost in the middle."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from dp_assets.example.tiny import write_tiny_project
from dp_assets.orchestration.code_location import build_defs
from dp_assets.orchestration.stage_runner import registered_plates
from dp_assets_tests.cluster.installation import Installation, worker_of
from dp_assets_tests.cluster.processes import Machine, module, wait_until
from dp_assets_tests.cluster.servers import Postgres, RedisServer
from dp_assets_tests.conftest import REPOSITORY
from dp_assets_tests.published_contents import fingerprints

pytestmark = pytest.mark.cluster

PLATES, WELLS, SITES = 6, 8, 3
PATIENCE = 1800.0
DETERMINISTIC = REPOSITORY / "configs" / "runs" / "deterministic_cpu.yaml"
BACKFILL = "whole"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Six tiny plates."""
    write_tiny_project(tmp_path / "project", plates=PLATES, wells=WELLS, sites_per_well=SITES, epochs=2)
    return tmp_path / "project"


@pytest.fixture
def installation(
    tmp_path: Path, project: Path, servers: tuple[Postgres, RedisServer]
) -> Iterator[Installation]:
    """Everything but workers and daemon."""
    made = Installation(tmp_path / "cluster", project, *servers)
    try:
        yield made
    finally:
        made.stop()


def test_a_backfill_survives_a_lost_machine_and_equals_a_single_process(
    tmp_path: Path, project: Path, installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(project, tmp_path / "alone")
    alone_seconds = run_alone(tmp_path / "alone")

    index = installation.command("index", "run", "index")
    wait_until(lambda: not index.is_running, "the plates are registered", PATIENCE)
    with installation.instance() as instance:
        assert len(registered_plates(instance)) == PLATES, index.text()
        lost = installation.worker("machine_1", "cpu", "gpu")
        left = installation.worker("machine_2", "cpu", "gpu")
        installation.daemon()
        start_backfill(instance, project)
        plate, finished = frozen_at_work(instance, lost, project)
        killed = time.monotonic()
        lost.kill()
        taken = [run.run_id for run in runs(instance) if worker_of(run) == str(lost.pid)]
        wait_until(lambda: bool(failed(instance)), "the lost run is found", PATIENCE)
        found_after = time.monotonic() - killed
        wait_until(lambda: is_over(instance), "the backfill is over", PATIENCE, every=2.0)
        ended = time.monotonic()
        assert instance.get_backfill(BACKFILL).status == BulkActionStatus.COMPLETED_SUCCESS
        assert_all_is_true(instance, taken)
        of_runs = runs(instance)
        (retry,) = [run for run in of_runs if run.parent_run_id]
        assert worker_of(retry) == str(left.pid)
        assert retry.tags["dagster/partition"] == plate
    # What the lost machine had finished is published, not made again: a file published is the file kept.
    published = files_below(project / "outputs" / "compressed" / "images" / plate)
    assert finished <= published
    assert len(finished) < len(published)
    installation.stop()
    assert installation.leftovers() == {}
    compared = compare(tmp_path / "alone", project)
    with capsys.disabled():
        report("published", [("place", "files", "equal"), *compared])
        report("runs", [("run", "plate", "worker", "ended"), *map(described, of_runs)])
        report(
            "seconds",
            [
                ("single process, whole graph", round(alone_seconds)),
                ("from the kill to the failure of the lost run", round(found_after)),
                ("from the kill to the end of the backfill", round(ended - killed)),
            ],
        )


def run_alone(root: Path) -> float:
    """The same graph in one process, as `dp-assets run all` does it; the seconds it took."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "DP_PROJECT": str(root)}
    environment.pop("DAGSTER_HOME", None)
    command = module("dp_assets.cli", "run", "all", "--run-config", str(DETERMINISTIC))
    machine = Machine(command, root.parent / "alone.log", environment)
    seconds = wait_until(lambda: not machine.is_running, "the run alone is over", PATIENCE)
    assert (root / "outputs" / "cnn" / "evaluation").is_dir(), machine.text()
    return seconds


def start_backfill(instance: DagsterInstance, root: Path) -> None:
    """Everything for all plates, as the UI launches it for all assets."""
    graph = build_defs(root).resolve_asset_graph()
    instance.add_backfill(
        PartitionBackfill.from_asset_partitions(
            backfill_id=BACKFILL,
            asset_graph=graph,
            partition_names=registered_plates(instance),
            asset_selection=sorted(graph.materializable_asset_keys),
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=yaml.safe_load(DETERMINISTIC.read_text()),
        )
    )


def runs(instance: DagsterInstance) -> list[DagsterRun]:
    """All runs that workers were given."""
    return [run for run in instance.get_runs() if run.tags.get("dagster/backfill") == BACKFILL]


def failed(instance: DagsterInstance) -> list[DagsterRun]:
    """The runs that failed."""
    return list(instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE])))


def described(run: DagsterRun) -> tuple[str, str, str, str]:
    """A run in a row."""
    retry = " (retry)" if run.parent_run_id else ""
    worker = run.tags.get("dp/worker", "")
    return run.run_id[:8], run.tags.get("dagster/partition", "-"), worker, run.status.value + retry


def frozen_at_work(
    instance: DagsterInstance, machine: Machine, root: Path
) -> tuple[str, set[tuple[int, int]]]:
    """Stop a machine in the middle of compressing a plate's images.

    Returns
    -------
    The plate, and the image files of the sites that are finished (see `files_below`).
    """
    works = root / ".work" / "compressed_images"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        wait_until(lambda: any(works.glob("*/parts/*.unit")), "a plate is at work", PATIENCE, every=0.01)
        machine.freeze()
        for run in runs(instance):
            plate = run.tags.get("dagster/partition", "")
            finished = {path.stem for path in (works / plate / "parts").glob("*.unit")}
            is_here = run.status == DagsterRunStatus.STARTED and worker_of(run) == str(machine.pid)
            if is_here and 0 < len(finished) < WELLS * SITES:
                return plate, files_below(works / plate / "parts", *(f"{unit}*.png" for unit in finished))
        machine.thaw()
        time.sleep(0.1)
    raise AssertionError("the machine was never seen in the middle of a plate")


def files_below(folder: Path, *patterns: str) -> set[tuple[int, int]]:
    """Files as the file system knows them, whatever their name: number and time of writing."""
    found = [path for pattern in patterns or ("**/*.png",) for path in folder.glob(pattern)]
    return {(path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def is_over(instance: DagsterInstance) -> bool:
    """Whether the backfill came to an end, good or bad."""
    backfill = instance.get_backfill(BACKFILL)
    return backfill is not None and backfill.status != BulkActionStatus.REQUESTED


def assert_all_is_true(instance: DagsterInstance, taken: list[str]) -> None:
    """Every run ended; what the lost machine held alone failed, its retry succeeded; no slot is held."""
    ended = runs(instance)
    assert {run.status for run in ended} == {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE}
    lost = [run for run in ended if run.status == DagsterRunStatus.FAILURE]
    assert {run.run_id for run in lost} <= set(taken)
    assert len(lost) == 1
    retries = [run for run in ended if run.parent_run_id == lost[0].run_id]
    assert [run.status for run in retries] == [DagsterRunStatus.SUCCESS]
    messages = [str(entry.message) for entry in instance.all_logs(lost[0].run_id)]
    assert any("is lost: no sign of life" in message for message in messages), messages[-5:]
    assert set(instance.event_log_storage.get_concurrency_run_ids()) == set()


def compare(alone: Path, together: Path) -> list[tuple[str, int, int]]:
    """Hold every published file against that of the single process.

    Returns
    -------
    Place, files, files that are equal; one row for each asset's place.
    """
    expected, found = fingerprints(alone / "outputs"), fingerprints(together / "outputs")
    unfinished = {name for name in found if any(part.startswith(".") for part in name.split("/"))}
    assert unfinished == set()
    assert set(found) == set(expected)
    different = sorted(name for name in expected if expected[name] != found[name])
    assert different == []
    rows: dict[str, list[int]] = {}
    for name, content in expected.items():
        of_place = rows.setdefault("/".join(name.split("/")[:-1][:2]), [0, 0])
        of_place[0] += 1
        of_place[1] += content == found[name] and content != "not compared"
    return [(place, files, equal) for place, (files, equal) in sorted(rows.items())]


def report(title: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Print a table."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    print(f"\n{title}")
    for row in cells:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
