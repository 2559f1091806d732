"""Services and runs killed in the middle of a backfill: it completes, and ends as if nothing had happened."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from dp_assets.example.tiny import write_tiny_project
from dp_assets.orchestration.live_runs import FOLDER
from dp_assets.orchestration.project_setup import INSTANCE, INSTANCE_FILE
from dp_assets.orchestration.stage_runner import project_instance
from dp_assets_tests.end_to_end.services import (
    CODE_SERVER,
    DAEMON,
    RUN,
    Services,
    processes_of,
    wait_until,
)
from dp_assets_tests.orchestration.materializing import (
    INDEX,
    PIXELS,
    PROFILES,
    TABLES,
    Workshop,
    contents,
)

PLATES = ("TINY00001", "TINY00002", "TINY00003")
ASSETS = (*TABLES, *PIXELS, *PROFILES)
# Shorter than what is shipped, so that tests take less time.
INTERVALS = {
    "poll_interval_seconds: 15": "poll_interval_seconds: 2",
    "free_slots_after_run_end_seconds: 30": "free_slots_after_run_end_seconds: 5",
    "user_code_failure_retry_delay: 15": "user_code_failure_retry_delay: 5",
}
# Each of them is followed by a start, if the services are no longer there.
KILLS: dict[str, Callable[[Services], None]] = {
    "runs": lambda services: services.kill(RUN),
    "code server": lambda services: services.kill(CODE_SERVER),
    "code server and runs": lambda services: services.kill(CODE_SERVER, RUN),
    "daemon": lambda services: services.kill(DAEMON),
    "dp-assets ui": lambda services: services.kill_command(),
    "everything": lambda services: services.kill_everything(),
}


def visible(folder: Path) -> dict[str, bytes]:
    """What readers look at: everything but hidden files, such as one that a killed process was writing."""
    made = contents(folder)
    return {name: made[name] for name in made if not any(part.startswith(".") for part in name.split("/"))}


def write_project(root: Path) -> None:
    """A project of some plates whose runs take a few seconds each."""
    write_tiny_project(root, plates=len(PLATES), wells=12, sites_per_well=2, cells_per_site=3)


@cache
def undisturbed(base: Path) -> Path:
    """The project with everything made, without disturbance."""
    workshop = Workshop(base / "undisturbed" / "project")
    write_project(workshop.root)
    workshop.make_all(*PLATES)
    return workshop.root


@pytest.fixture
def services(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Services:
    """A project with the shipped instance, its plates registered and its model made, nothing else."""
    root = tmp_path / "project"
    write_project(root)
    model = Path("outputs") / "cnn"
    shutil.copytree(
        undisturbed(tmp_path_factory.getbasetemp()) / model,
        root / model,
        ignore=shutil.ignore_patterns("cell_features", "*_profiles"),
    )
    with project_instance(root) as instance:
        assert Workshop(root, instance).make(*INDEX).succeeded
    settings = INSTANCE
    for shipped, shorter in INTERVALS.items():
        assert shipped in settings
        settings = settings.replace(shipped, shorter)
    (root / ".dagster" / INSTANCE_FILE).write_text(settings, encoding="utf-8")
    return Services(root, tmp_path / "services.log")


@pytest.mark.slow
@pytest.mark.parametrize("killed", KILLS)
def test_a_backfill_completes_after_a_kill(
    services: Services, tmp_path_factory: pytest.TempPathFactory, killed: str
) -> None:
    expected = visible(undisturbed(tmp_path_factory.getbasetemp()) / "outputs")
    try:
        services.start()
        backfill = services.backfill(ASSETS, PLATES)
        wait_until(lambda: any((services.root / ".work").rglob("parts/*")), "a run is at work")
        KILLS[killed](services)
        services.start_if_gone()
        wait_until(lambda: services.has_ended(backfill), f"the backfill completes: {services.log}", 900)
        assert services.state_of(backfill) == {
            "__typename": "PartitionBackfill",
            "status": "COMPLETED_SUCCESS",
            "error": None,
        }
        services.stop()
        wait_until(lambda: not processes_of(services.root), "no process is left", 90)
    finally:
        services.kill_everything()
    assert visible(services.root / "outputs") == expected
    assert not any((services.root / ".work").rglob("parts/*"))
    assert_nothing_is_left(services.root)


def assert_nothing_is_left(root: Path) -> None:
    """No run that is not over, no place in a pool taken, no plate without a run that succeeded."""
    with DagsterInstance.from_config(str(root / ".dagster")) as instance:
        runs = instance.get_runs()
        assert all(run.is_finished for run in runs), [run.status for run in runs]
        succeeded = {run.tags.get("dagster/partition") for run in runs if run.is_success}
        assert set(PLATES) <= succeeded
        again = [run for run in runs if run.status is DagsterRunStatus.FAILURE]
        assert all(run.tags["dagster/will_retry"] == "true" for run in again)
        storage = instance.event_log_storage
        for pool in storage.get_concurrency_keys():
            assert storage.get_concurrency_info(pool).active_slot_count == 0
        left = {file.stem for file in (root / ".dagster" / FOLDER).glob("*")}
        assert left <= {run.run_id for run in runs if run.is_finished}
