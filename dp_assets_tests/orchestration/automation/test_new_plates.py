"""The sensor of new plates: one run per content of the index, parts taken when they are complete."""

import os
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import DagsterRunStatus

from dp_assets.orchestration.code_location import build_defs
from dp_assets_tests.orchestration.automation.records import met_another, planned_run
from dp_assets_tests.orchestration.materializing import Workshop


class Sensor:
    """The sensor of a project, ticking when a test says so."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.index = workshop.root / "inputs" / "metadata" / "index.csv"
        self.folder = workshop.root / "inputs" / "metadata" / "new"
        self.folder.mkdir(exist_ok=True)
        self.cursor: str | None = None
        self.skipped = ""

    def tick(self) -> str | None:
        """The key of the run that is requested, None when there is none."""
        sensor = build_defs(self.workshop.root).get_repository_def().get_sensor_def("new_plates")
        context = dg.build_sensor_context(instance=self.workshop.instance, cursor=self.cursor)
        result = sensor.evaluate_tick(context)
        self.cursor = result.cursor
        self.skipped = result.skip_message or ""
        assert len(result.run_requests or ()) <= 1
        return result.run_requests[0].run_key if result.run_requests else None

    def lines(self, plate: str) -> str:
        """A part with the rows of the first plate under another name."""
        header, *rows = self.index.read_text().splitlines()
        new = [row.replace("TINY00001", plate, 1) for row in rows if row.startswith("TINY00001")]
        return "\n".join([header, *new]) + "\n"


@pytest.fixture
def sensor(tiny: Workshop) -> Sensor:
    return Sensor(tiny)


def test_a_run_for_every_content_and_none_for_a_touch(sensor: Sensor) -> None:
    first = sensor.tick()
    assert first is not None
    ran(sensor)
    os.utime(sensor.index, (1, 1))
    assert sensor.tick() is None
    assert "has not changed" in sensor.skipped
    old = sensor.index.read_text()
    sensor.index.write_text(old + sensor.lines("NEW1").partition("\n")[2])
    second = sensor.tick()
    sensor.index.write_text(old)
    third = sensor.tick()
    assert len({first, second, third, None}) == 4, "an old content that comes back is registered again"


def test_index_that_cannot_be_read_is_said_and_nothing_requested(sensor: Sensor) -> None:
    sensor.index.write_text("Metadata_Plate\n../P1\n")
    assert sensor.tick() is None
    assert "column Metadata_Well is missing" in sensor.skipped
    sensor.index.unlink()
    assert sensor.tick() is None
    assert "there is no image index" in sensor.skipped


def test_part_is_taken_when_it_has_not_changed_for_a_tick(sensor: Sensor) -> None:
    sensor.tick()
    ran(sensor)
    text = sensor.lines("NEW1")
    part = sensor.folder / "new1.csv"
    part.write_text(text[: len(text) // 2])
    assert sensor.tick() is None
    part.write_text(text)
    assert sensor.tick() is None, "it has grown since the last tick"
    assert part.exists()
    assert sensor.tick() is not None
    assert not part.exists()
    assert "NEW1" in sensor.index.read_text()
    assert (sensor.folder.parent / "taken" / "new1.csv").read_text() == text
    assert sensor.workshop.make("image_index").succeeded
    assert "NEW1" in sensor.workshop.instance.get_dynamic_partitions("plates")


def test_bad_part_is_named_and_told_once_while_good_ones_are_taken(sensor: Sensor) -> None:
    sensor.tick()
    ran(sensor)
    (sensor.folder / "bad.csv").write_text(sensor.lines("../evil"))
    (sensor.folder / "good.csv").write_text(sensor.lines("NEW1"))
    sensor.tick()
    assert sensor.tick() is not None
    ran(sensor)
    assert sensor.tick() is None
    assert "bad.csv is not taken" in sensor.skipped
    assert "cannot be used as a name" in (sensor.folder / "bad.csv.problem.txt").read_text()
    log = (sensor.workshop.root / ".dagster" / "notifications.log").read_text().splitlines()
    assert len(log) == 1
    assert "inputs/metadata/new/bad.csv is not taken" in log[0]
    assert "evil" not in sensor.index.read_text()


def test_parts_wait_while_the_index_itself_is_broken(sensor: Sensor) -> None:
    old = sensor.index.read_text()
    (sensor.folder / "good.csv").write_text(sensor.lines("NEW1"))
    sensor.index.write_text("broken\n")
    for _ in range(3):
        assert sensor.tick() is None
    assert sensor.index.read_text() == "broken\n"
    assert (sensor.folder / "good.csv").exists()
    sensor.index.write_text(old)
    assert sensor.tick() is not None
    assert "NEW1" in sensor.index.read_text()


@pytest.mark.parametrize("says_why", [True, False])
def test_run_that_was_killed_is_requested_again_and_one_that_failed_is_not(
    sensor: Sensor, says_why: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {sensor.tick()}
    for _ in range(5):
        tags = (
            {"dagster/run_key": str(latest), "dp/automation": "new_plates"}
            if (latest := last(sensor))
            else {}
        )
        planned_run(sensor.workshop.instance, ("image_index",), None, DagsterRunStatus.FAILURE, **tags)
        if says_why:
            monkeypatch.setattr(
                "dp_assets.orchestration.automation.ended_runs.failed_steps", lambda *_: {"image_index"}
            )
        keys.add(sensor.tick())
    assert len(keys - {None}) == (1 if says_why else 3)
    told = "image_index was requested 3 times, the last time in vain: it was killed or stopped; materialize"
    assert ("has not changed" if says_why else told) in sensor.skipped


def test_a_run_that_met_another_is_not_called_killed(sensor: Sensor) -> None:
    keys = {sensor.tick()}
    for _ in range(3):
        tags = {"dagster/run_key": str(last(sensor)), "dp/automation": "new_plates"}
        met_another(sensor.workshop.instance, ("image_index",), None, **tags)
        keys.add(sensor.tick())
    assert len(keys - {None}) == 3
    assert "the last time in vain: another run was at work there; materialize it by hand" in sensor.skipped


def ran(sensor: Sensor) -> None:
    """Let the run that was requested last succeed, in the records only."""
    tags = {"dagster/run_key": str(last(sensor)), "dp/automation": "new_plates"}
    planned_run(sensor.workshop.instance, ("image_index",), None, DagsterRunStatus.SUCCESS, **tags)


def test_a_run_that_is_not_known_is_requested_again_until_the_plates_are_registered(sensor: Sensor) -> None:
    assert sensor.tick() is not None
    assert sensor.tick() is not None, "the request never became a run"
    assert sensor.workshop.make("image_index").succeeded
    assert sensor.tick() is None, "somebody has registered the plates meanwhile"
    assert "has not changed" in sensor.skipped
    instance = sensor.workshop.instance
    for run in instance.get_runs():
        instance.delete_run(run.run_id)
    assert sensor.tick() is None, "records of runs were deleted, plates were not"
    instance.delete_dynamic_partition("plates", "TINY00002")
    assert sensor.tick() is not None
    assert sensor.tick() is None
    assert "was requested 3 times, the last time in vain: there is no such run; materialize" in sensor.skipped


def last(sensor: Sensor) -> str | None:
    from dp_assets.orchestration.automation.new_plates import Seen

    return Seen.of(sensor.cursor).run_key


def test_cursor_of_another_version_is_no_error(sensor: Sensor, tmp_path: Path) -> None:
    for cursor in ('{"other": 1}', "[]", "no json"):
        sensor.cursor = cursor
        assert sensor.tick() is not None
