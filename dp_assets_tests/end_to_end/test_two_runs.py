"""Two runs on one project at once, in processes of their own: nothing is lost, and none spoils the other."""

import os
import signal
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from dp_assets.orchestration.automation.ended_runs import Outcome, outcome_of_run
from dp_assets.orchestration.project_setup import set_up_project
from dp_assets.orchestration.stage_runner import project_instance
from dp_assets_tests.end_to_end.conftest import STOPPING, Command, command_line, environment_of
from dp_assets_tests.end_to_end.services import wait_until
from dp_assets_tests.orchestration.materializing import Workshop, contents

PLATE = "TINY00001"


def begin(root: Path, program: str, *arguments: str) -> subprocess.Popen:
    """Start a program for a project, and do not wait for it."""
    return subprocess.Popen(
        command_line(program, *arguments),
        env=environment_of(root),
        cwd=root.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def has_ended_or_stopped(process: subprocess.Popen) -> bool:
    """Whether a process is gone, or stands still (state T of the kernel)."""
    if process.poll() is not None:
        return True
    state = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    return state == "T"


def test_the_second_run_on_a_plate_says_that_the_first_is_at_work(tiny: Workshop, command: Command) -> None:
    asset = "compressed_images"
    with project_instance(tiny.root) as instance:
        workshop = Workshop(tiny.root, instance)
        assert workshop.make("image_index").succeeded
        assert workshop.make("plate_images", "illumination_functions", plate=PLATE).succeeded
    select = ("asset", "materialize", "-m", "dp_assets.definitions", "--select", asset, "--partition", PLATE)
    first = begin(tiny.root, str(STOPPING), *select)
    try:
        # Stopped, not killed: it keeps its folder, and its run is alive.
        wait_until(lambda: has_ended_or_stopped(first), "it has finished a site and stopped")
        assert first.poll() is None, first.communicate()[0]
        second = command(tiny.root, "dp-assets", "run", "prepare", "--plates", PLATE)
        kept = contents(tiny.root / ".work" / asset / PLATE)
        os.kill(first.pid, signal.SIGCONT)
        output, _ = first.communicate(timeout=300)
    finally:
        first.kill()
    assert second.returncode == 1
    assert "another run is working on this asset and plate" in second.stdout
    assert "wait for it to end" in second.stdout
    assert kept, "the second run took away what the first had finished"
    assert first.returncode == 0, output
    with DagsterInstance.from_config(str(tiny.root / ".dagster")) as instance:
        ended = instance.get_runs()[:2]
        outcomes = [outcome_of_run(instance, run) for run in ended]
    assert [run.status for run in ended] == [DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS]
    assert outcomes == [Outcome.MET_ANOTHER, Outcome.SUCCEEDED], "nothing is said against the plate"
    alone = Workshop(tiny.root)
    made = contents(tiny.root / "outputs" / "compressed")
    assert alone.make("image_index").succeeded
    assert alone.make(asset, plate=PLATE, force=True).succeeded
    assert contents(tiny.root / "outputs" / "compressed") == made


@pytest.mark.slow
def test_two_runs_write_one_table_at_once_in_a_new_project(tiny: Workshop) -> None:
    """Nothing is there yet: neither the table nor the records of the instance."""
    set_up_project(tiny.root)
    both = [begin(tiny.root, "dp-assets", "run", "index") for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    tables = tiny.root / "outputs" / "metadata"
    assert [file.name for file in tables.iterdir()] == ["image_index.parquet"]
    alone = Workshop(tiny.root)
    table = pq.read_table(tables / "image_index.parquet")
    assert alone.make("image_index").succeeded
    assert pq.read_table(tables / "image_index.parquet").equals(table)
