"""The records of an instance: locked for a while, locked for long, damaged, or of an earlier version."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster import DagsterInstance
from dagster._utils.tags import TagConcurrencyLimitsCounter
from sqlalchemy.exc import IntegrityError

from dp_assets.config.errors import Problem
from dp_assets.orchestration import instance as instance_module
from dp_assets.orchestration.doctor import examine
from dp_assets.orchestration.examination import Examination
from dp_assets.orchestration.partitions import PLATES, register_plates
from dp_assets.orchestration.project_setup import INSTANCE, NEEDED, missing_settings, set_up_project
from dp_assets.orchestration.stage_runner import project_instance
from dp_assets_tests.orchestration.materializing import Workshop, call, contents

RECORDS = instance_module.RECORDS
RUNS, EVENTS = "history/runs.db", "history/runs/index.db"
# Dagster's own patience with the records of runs ends after 5 s.
LONGER_THAN_DAGSTER_WAITS = 6.0


@contextmanager
def locked(file: Path, seconds: float) -> Iterator[None]:
    """Hold a database as another program would, for a while from now on."""
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    let_go = threading.Timer(seconds, other.close)
    let_go.start()
    try:
        yield
    finally:
        let_go.cancel()
        let_go.join()
        other.close()


def of_instance(root: Path) -> Examination:
    """What the doctor says of the instance."""
    return {part.name: part for part in examine(root, read_images=False)}["Dagster instance"]


def the_problem(root: Path) -> Problem:
    """The one problem that the doctor has with the instance."""
    (problem,) = of_instance(root).problems
    return problem


def test_records_that_are_locked_for_a_while_are_waited_for(tiny: Workshop) -> None:
    assert call(tiny.root, "run", "index").exit_code == 0
    with locked(tiny.root / ".dagster" / RUNS, LONGER_THAN_DAGSTER_WAITS):
        done = call(tiny.root, "run", "index")
    assert done.exit_code == 0, done.output


@pytest.mark.slow
@pytest.mark.parametrize("name", [RUNS, EVENTS])
def test_records_that_stay_locked_end_in_a_message_and_the_next_run_goes_on(
    tiny: Workshop, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(tiny.root, "run", "index").exit_code == 0
    before = contents(tiny.root / "outputs")
    with monkeypatch.context() as patch, locked(tiny.root / ".dagster" / name, 60):
        patch.setattr(instance_module, "PATIENCE_SECONDS", 0.5)
        stopped = call(tiny.root, "run", "prepare")
    assert stopped.exit_code == 1
    assert "the records of runs are in use by another program" in stopped.output
    assert "end that program" in stopped.output
    assert before.items() <= contents(tiny.root / "outputs").items()
    done = call(tiny.root, "run", "prepare")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name != RUNS)) for name in instance_module.RECORDS],
)
def test_damaged_records_are_named_and_results_outlive_them(tiny: Workshop, name: str) -> None:
    with project_instance(tiny.root) as instance:
        tiny.instance = instance
        assert tiny.make("image_index").succeeded
        assert tiny.make("plate_images", "illumination_functions", plate="TINY00001").succeeded
    before = contents(tiny.root / "outputs")
    file = tiny.root / ".dagster" / name
    for leftover in file.parent.glob(f"{file.name}-*"):
        leftover.unlink()
    sound = file.read_bytes()
    file.write_bytes(sound[: len(sound) // 2])

    problem = the_problem(tiny.root)
    assert "damaged" in problem.what
    assert problem.where == str(file)
    stopped = call(tiny.root, "run", "index")
    assert stopped.exit_code == 1
    assert str(problem) in stopped.output
    assert contents(tiny.root / "outputs") == before

    # What the remedy says.
    file.rename(file.with_suffix(".damaged"))
    assert call(tiny.root, "run", "index").exit_code == 0
    with project_instance(tiny.root) as instance:
        tiny.instance = instance
        again = tiny.make("plate_images", "illumination_functions", plate="TINY00001")
    assert again.succeeded
    assert again.recomputed == set()
    assert contents(tiny.root / "outputs") == before


def test_a_mistake_in_the_file_of_the_instance(tiny: Workshop) -> None:
    set_up_project(tiny.root)
    file = tiny.root / ".dagster" / "dagster.yaml"
    file.write_text(INSTANCE.replace("max_retries: 2", "max_retries: many"), encoding="utf-8")
    stopped = call(tiny.root, "run", "index")
    assert stopped.exit_code == 1
    assert str(file) in stopped.output
    assert "max_retries" in the_problem(tiny.root).what
    file.write_text("run_retries: [", encoding="utf-8")
    assert call(tiny.root, "run", "index").exit_code == 1
    assert the_problem(tiny.root).where == str(file)


def test_an_instance_of_an_earlier_version_works_and_is_warned_of(tiny: Workshop) -> None:
    set_up_project(tiny.root)
    home = tiny.root / ".dagster"
    assert missing_settings(home) == []
    settings = yaml.safe_load(INSTANCE)
    for name in ("run_queue", "run_launcher", "run_retries"):
        del settings[name]
    del settings["concurrency"]["runs"]["tag_concurrency_limits"]
    settings["run_monitoring"] = {"enabled": True}
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert missing_settings(home) == list(NEEDED)
    assert call(tiny.root, "run", "index").exit_code == 0
    (warning,) = of_instance(tiny.root).warnings
    assert all(name in warning.what for name in NEEDED)
    told = call(tiny.root, "setup").output
    assert "run_launcher" in told
    assert "configs/dagster/local.yaml" in told
    # Somebody else's database is somebody's choice.
    (home / "dagster.yaml").write_text("storage: {postgres: {}}", encoding="utf-8")
    assert missing_settings(home) == []


def test_the_shipped_instance_opens(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(INSTANCE, encoding="utf-8")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 2
        assert queue.max_user_code_failure_retries > 0


def test_the_queue_never_starts_two_runs_on_one_plate(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(INSTANCE, encoding="utf-8")

    def run_on(plate: str | None) -> dg.DagsterRun:
        return dg.DagsterRun("prepare", tags={"dagster/partition": plate} if plate else {})

    with DagsterInstance.from_config(str(tmp_path)) as instance:
        queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    limits = TagConcurrencyLimitsCounter(queue.tag_concurrency_limits, [run_on("P1"), run_on(None)])
    assert limits.is_blocked(run_on("P1"))
    assert not limits.is_blocked(run_on("P2"))
    assert not limits.is_blocked(run_on(None))
    # Of two that wait, one is started.
    limits.update_counters_with_launched_item(run_on("P2"))
    assert limits.is_blocked(run_on("P2"))


def test_plates_that_another_run_registers_at_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = DagsterInstance.ephemeral()
    true_add = instance.add_dynamic_partitions

    def add_too_late(name: str, keys: list[str]) -> None:
        true_add(name, keys[:1])
        monkeypatch.undo()
        raise IntegrityError("INSERT", None, sqlite3.IntegrityError("UNIQUE constraint failed"))

    monkeypatch.setattr(instance, "add_dynamic_partitions", add_too_late)
    register_plates(instance, ["P1", "P2"])
    assert instance.get_dynamic_partitions(PLATES) == ["P1", "P2"]
