"""`dp-assets backfill` and the weekly re-check: exactly what is missing, failed or stale, by content."""

import datetime
import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import tifffile
from dagster import DagsterInstance

from dp_assets.config.project import load_project
from dp_assets.orchestration.automation.backfill_plan import KINDS, Kind, Planner, dry_plan
from dp_assets.orchestration.code_location import build_defs
from dp_assets.orchestration.instance import opened_instance
from dp_assets.orchestration.lanes import project_graph
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.project_setup import set_up_project
from dp_assets.storage.index_file import read_index
from dp_assets_tests.orchestration.automation.records import PLATES, made, planned_run
from dp_assets_tests.orchestration.materializing import TABLES, Workshop, call, contents

FIRST, SECOND = PLATES


def planned(workshop: Workshop, *kinds: Kind) -> dict[str, set[str | None]]:
    """What would be made: asset -> plates."""
    project = load_project(workshop.root)
    reference = project.reference
    assert reference is not None
    resource = ProjectResource.of(project)
    channels = reference.preparation().images.channels
    planner = Planner(
        project,
        project_graph(project),
        build_defs(workshop.root).resolve_asset_graph(),
        resource,
        kinds or KINDS,
        (),
        read_index(resource.index_location(), channels),
    )
    for plate in PLATES:
        planner.look_at_files(plate)
    found: dict[str, set[str | None]] = {}
    for wanted in dry_plan(planner, workshop.instance, PLATES, only_plates=True):
        found.setdefault(wanted.key.to_user_string(), set()).add(wanted.plate)
    return found


def images_of(root: Path, plate: str) -> list[Path]:
    return sorted((root / "inputs" / "images" / plate).rglob("*.tiff"))


@pytest.fixture
def read(tiny: Workshop, tmp_path: Path) -> Workshop:
    """A project whose plates were read, and one of them corrected for illumination."""
    (tmp_path / "instance").mkdir()
    tiny.instance = DagsterInstance.local_temp(str(tmp_path / "instance"))
    assert tiny.make("image_index").succeeded
    for plate in PLATES:
        assert tiny.make(*TABLES, plate=plate).succeeded
    assert tiny.make("illumination_functions", plate=SECOND).succeeded
    return tiny


def test_stale_goes_by_content(read: Workshop) -> None:
    assert planned(read, "stale") == {}
    for path in images_of(read.root, SECOND):
        os.utime(path, (1, 1))
        path.write_bytes(path.read_bytes())
    assert planned(read, "stale") == {}, "touched and copied, not changed"
    path = images_of(read.root, SECOND)[0]
    pixels = tifffile.imread(path)
    pixels[3, 5] += 1
    tifffile.imwrite(path, pixels)
    assert planned(read, "stale") == {"plate_images": {SECOND}, "illumination_functions": {SECOND}}
    # asked for, but nothing of the missing ones
    assert planned(read, "missing")["illumination_functions"] == {FIRST}


def test_moved_cell_and_changed_label_make_their_own_tables_stale(read: Workshop) -> None:
    table = next(path for path in (read.root / "inputs" / "locations").rglob("*.csv") if FIRST in str(path))
    lines = table.read_text().splitlines()
    lines[1] = ",".join(
        str(float(value) + 1) if i == 0 else value for i, value in enumerate(lines[1].split(","))
    )
    table.write_text("\n".join(lines) + "\n")
    assert planned(read, "stale") == {"cell_locations": {FIRST}}
    read.rewrite_index(
        lambda lines: [line.replace(",validation", ",training") if SECOND in line else line for line in lines]
    )
    assert planned(read, "stale") == {"cell_locations": {FIRST}, "plate_annotations": {SECOND}}


def test_failed_is_what_the_last_run_did_not_make(read: Workshop) -> None:
    assert planned(read, "failed") == {}
    path = images_of(read.root, FIRST)[0]
    good = path.read_bytes()
    path.write_bytes(b"no image")
    assert not read.make("plate_images", "illumination_functions", plate=FIRST).succeeded
    assert planned(read, "failed") == {"plate_images": {FIRST}, "illumination_functions": {FIRST}}
    path.write_bytes(good)
    # what is published of the images fits the file again; the illumination was never made
    assert planned(read, "failed") == {"illumination_functions": {FIRST}}
    assert read.make("illumination_functions", plate=FIRST).succeeded
    assert planned(read, "failed") == {}


def test_recheck_looks_at_read_plates_and_what_is_stale_follows(read: Workshop) -> None:
    repository = build_defs(read.root).get_repository_def()
    schedule = repository.get_schedule_def("weekly_recheck")
    context = dg.build_schedule_context(
        instance=read.instance, scheduled_execution_time=datetime.datetime(2027, 1, 3, 3, tzinfo=datetime.UTC)
    )
    requests = list(schedule(context))
    assert {request.partition_key for request in requests} == set(PLATES)
    tifffile.imwrite(images_of(read.root, SECOND)[0], tifffile.imread(images_of(read.root, SECOND)[0]) // 2)
    assert asked_after_recheck(read, FIRST) is None
    assert asked_after_recheck(read, SECOND) == {"illumination_functions"}


def asked_after_recheck(workshop: Workshop, plate: str) -> set[str] | None:
    defs = build_defs(workshop.root)
    ended = defs.resolve_job_def("recheck").execute_in_process(
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        instance=workshop.instance,
        partition_key=plate,
        resources=defs.resources,
    )
    assert ended.success
    context = dg.build_run_status_sensor_context(
        sensor_name="stale_results",
        dagster_event=ended.get_run_success_event(),
        dagster_instance=workshop.instance,
        dagster_run=ended.dagster_run,
        repository_def=defs.get_repository_def(),
    )
    answer = defs.get_repository_def().get_sensor_def("stale_results")(context)
    if isinstance(answer, dg.SkipReason):
        assert plate in (answer.skip_message or "")
        return None
    assert answer.partition_key == plate
    return {key.to_user_string() for key in answer.asset_selection}


def test_plate_that_left_the_index_is_not_looked_at_again(read: Workshop) -> None:
    read.rewrite_index(lambda lines: [line for line in lines if SECOND not in line])
    assert read.make("image_index").succeeded
    made(read.instance, "plate_images", SECOND)
    schedule = build_defs(read.root).get_repository_def().get_schedule_def("weekly_recheck")
    context = dg.build_schedule_context(
        instance=read.instance, scheduled_execution_time=datetime.datetime(2027, 1, 3, 3, tzinfo=datetime.UTC)
    )
    requests = list(schedule(context))
    assert [request.partition_key for request in requests] == [FIRST]


def hidden_contents(root: Path) -> dict[str, bytes]:
    """Every file of a project, the instance's too, as it is; empty folders with a slash behind."""
    return {
        f"{path.relative_to(root)}{'/' if path.is_dir() else ''}": b"" if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
        # The interpreter's own; and what SQLite keeps beside a file while it is open.
        if "__pycache__" not in path.parts and not path.name.endswith(("-shm", "-wal"))
    }


@pytest.mark.parametrize("gone", [("history", "schedules"), ("schedules",)])
def test_dry_run_in_an_instance_without_records_makes_none(tiny: Workshop, gone: tuple[str, ...]) -> None:
    set_up_project(tiny.root)
    with opened_instance(tiny.root / ".dagster"):
        pass
    for name in gone:
        shutil.rmtree(tiny.root / ".dagster" / name)
    before = hidden_contents(tiny.root)
    shown = call(tiny.root, "backfill", "--missing", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "plate_images" in shown.output
    assert hidden_contents(tiny.root) == before


def test_dry_run_counts_lost_runs_as_killed_and_leaves_them(tiny: Workshop) -> None:
    set_up_project(tiny.root)
    with opened_instance(tiny.root / ".dagster") as instance:
        run = planned_run(instance, ("plate_images",), FIRST, dg.DagsterRunStatus.STARTED)
        command = [sys.executable, "-m", "dp_assets_tests.orchestration.live_process"]
        with subprocess.Popen(
            [*command, instance.root_directory, run.run_id], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "marked\n"
            live = call(tiny.root, "backfill", "--failed", "--dry-run")
            assert "its run was killed" not in live.output
            process.kill()
    before = hidden_contents(tiny.root)
    shown = call(tiny.root, "backfill", "--failed", "--dry-run")
    assert "its run was killed" in shown.output, shown.output
    assert "plate_images" in shown.output
    assert hidden_contents(tiny.root) == before
    with opened_instance(tiny.root / ".dagster") as instance:
        record = instance.get_run_by_id(run.run_id)
        assert record is not None
        assert record.status is dg.DagsterRunStatus.STARTED


@pytest.mark.slow
def test_command_shows_writes_nothing_and_does_it(tiny: Workshop) -> None:
    before = contents(tiny.root)
    shown = call(tiny.root, "backfill", "--missing", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "single_cells/box32" in shown.output
    assert "never" in shown.output
    assert contents(tiny.root) == before
    assert not (tiny.root / ".dagster").exists()
    broken = images_of(tiny.root, FIRST)[0]
    good = broken.read_bytes()
    broken.write_bytes(b"no image")
    ran = call(tiny.root, "backfill", "--missing", "--plates", f"{FIRST},{SECOND}")
    assert ran.exit_code == 1, ran.output
    assert (tiny.root / "outputs" / "single_cells" / "box32" / SECOND).exists(), "the other plate was made"
    assert "waits for what it is made of" in ran.output, "nothing trains for two plates"
    broken.write_bytes(good)
    again = call(tiny.root, "backfill", "--failed", "--plates", FIRST)
    assert "✓ prepare TINY00001" in again.output, again.output
    before = contents(tiny.root)
    assert "nothing to do" in call(tiny.root, "backfill", "--stale", "--failed", "--dry-run").output
    assert contents(tiny.root) == before


def test_command_needs_to_know_what(tiny: Workshop) -> None:
    assert call(tiny.root, "backfill").exit_code == 2
    unknown = call(tiny.root, "backfill", "--missing", "--plates", "P9", "--dry-run")
    assert unknown.exit_code == 1
    assert "unknown plates: P9; the index lists: TINY00001, TINY00002" in unknown.output.replace("\n", " ")
