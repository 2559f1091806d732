"""What the nightly backfill asks for, in a tiny project's real graph, night after night."""

import datetime
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.test_utils import freeze_time

from dp_assets.orchestration.code_location import build_defs
from dp_assets.storage import work
from dp_assets.storage.work import WorkFolder
from dp_assets_tests.orchestration.automation.records import PLATES, key, made, planned_run, register
from dp_assets_tests.orchestration.materializing import PIXELS, TABLES, Workshop

PREPARED = {*TABLES, *PIXELS, "image_quality"}
PROFILED = {"cnn/cell_features", "cnn/site_profiles", "cnn/well_profiles"}
SCORED = {
    f"cnn/{name}"
    for name in (
        "corrected_sites",
        "profiles",
        "treatment_profiles",
        "similarity",
        "profile_map",
        "evaluation",
    )
}
WHOLE = {name: {None} for name in SCORED}


class Nights:
    """The automation of a project, evaluated when a test says so."""

    def __init__(self, workshop: Workshop) -> None:
        self.instance = workshop.instance
        self.root = workshop.root
        self.defs = build_defs(workshop.root)
        self.cursor: object = None
        self.clock = ExitStack()
        self.at(1, 12)

    def at(self, day: int, hour: int, minute: int = 0) -> dict[str, set[str | None]]:
        """What is requested at a time: asset -> plates."""
        when = datetime.datetime(2027, 1, day, hour, minute, 5, tzinfo=datetime.UTC)
        # what is reported from here on happens now: conditions compare times
        self.clock.close()
        self.clock.enter_context(freeze_time(when + datetime.timedelta(seconds=20)))
        result = dg.evaluate_automation_conditions(
            self.defs,
            instance=self.instance,
            cursor=self.cursor,
            evaluation_time=when,  # type: ignore[arg-type]
        )
        self.cursor = result.cursor
        asked: dict[str, set[str | None]] = {}
        for asset in self.defs.resolve_asset_graph().get_all_asset_keys():
            plates = result.get_requested_partitions(asset)
            if plates:
                asked[asset.to_user_string()] = set(plates)
        return asked


@pytest.fixture
def nights(tiny: Workshop) -> Iterator[Nights]:
    register(tiny.instance, *PLATES)
    nights = Nights(tiny)
    yield nights
    nights.clock.close()


def test_whole_chain_of_every_plate_is_asked_for_once_at_night(nights: Nights) -> None:
    assert nights.at(2, 1, 59) == {}
    assert nights.at(2, 2) == {name: set(PLATES) for name in PREPARED}
    assert nights.at(2, 2, 1) == {}


def test_plate_that_is_half_made_gets_the_rest_and_one_at_work_nothing(nights: Nights) -> None:
    for name in TABLES:
        made(nights.instance, name, PLATES[0])
    planned_run(nights.instance, tuple(PREPARED), PLATES[1], DagsterRunStatus.STARTED)
    assert nights.at(2, 2) == {name: {PLATES[0]} for name in (*PIXELS, "image_quality")}


def test_plates_registered_after_the_night_wait_for_the_next(nights: Nights) -> None:
    for name in PREPARED:
        made(nights.instance, name, *PLATES)
    assert nights.at(2, 2) == {}
    register(nights.instance, "LATE")
    assert nights.at(2, 9) == {}
    assert nights.at(3, 2) == {name: {"LATE"} for name in PREPARED}


def test_features_wait_for_the_model_and_scores_for_the_last_plate(nights: Nights) -> None:
    for name in PREPARED:
        made(nights.instance, name, *PLATES)
    assert nights.at(2, 2) == {}
    made(nights.instance, "cnn/training_set")
    made(nights.instance, "cnn/trained_model")
    # the night has come already: the model was all that lacked
    assert nights.at(2, 9) == {name: set(PLATES) for name in PROFILED}
    first, second = (
        planned_run(nights.instance, tuple(PROFILED), plate, DagsterRunStatus.STARTED) for plate in PLATES
    )
    assert nights.at(2, 9, 1) == {}
    for name in PROFILED:
        made(nights.instance, name, PLATES[0])
    nights.instance.report_run_failed(first)
    assert nights.at(2, 9, 2) == {}, "the second plate is still at work"
    nights.instance.report_run_failed(second)
    # one plate will do: the other is missing, and named by the profiles
    assert nights.at(2, 9, 3) == WHOLE


def test_scores_follow_what_was_profiled_since_a_tick_after_the_night(nights: Nights) -> None:
    for name in (*PREPARED, *PROFILED):
        made(nights.instance, name, *PLATES)
    for name in ("cnn/training_set", "cnn/trained_model", *SCORED):
        made(nights.instance, name)
    assert nights.at(1, 13) == {}
    assert nights.at(2, 2) == {}
    assert nights.at(2, 2, 1) == {}, "nothing new, nothing to do"
    made(nights.instance, "plate_annotations", PLATES[1])
    assert nights.at(2, 15) == {}, "looked at again, and the same"
    scored = {name: plates for name, plates in WHOLE.items() if name != "cnn/corrected_sites"}
    made(nights.instance, "cnn/well_profiles", PLATES[1], version="2")
    assert nights.at(2, 15, 1) == scored
    assert nights.at(2, 15, 2) == {}
    for name in SCORED:
        made(nights.instance, name, version="2")
    register(nights.instance, "LATE")
    assert nights.at(2, 16) == {}
    for name in (*PREPARED, *PROFILED):
        made(nights.instance, name, "LATE")
    assert nights.at(3, 2) == {}
    assert nights.at(3, 2, 1) == WHOLE, "a new plate"


def test_nothing_trains_by_itself(nights: Nights) -> None:
    for name in PREPARED:
        made(nights.instance, name, *PLATES)
    for day in (2, 3, 4):
        assert not {"cnn/training_set", "cnn/trained_model"} & set(nights.at(day, 2))


def test_what_failed_with_a_reason_waits_and_keeps_no_other_plate(nights: Nights) -> None:
    broken = nights.root / "inputs" / "images" / PLATES[0]
    for path in broken.rglob("*.tiff"):
        path.write_bytes(b"no image")
    workshop = Workshop(nights.root, nights.instance)
    assert workshop.make("image_index").succeeded
    assert not workshop.make("plate_images", plate=PLATES[0]).succeeded
    asked = nights.at(2, 2)
    assert asked["plate_images"] == {PLATES[1]}
    assert asked["compressed_images"] == {PLATES[1]}
    assert asked["plate_annotations"] == set(PLATES), "does not depend on images"


def test_what_was_killed_is_asked_for_again_the_next_night(nights: Nights) -> None:
    planned_run(nights.instance, ("plate_images", "cell_locations"), PLATES[0], DagsterRunStatus.FAILURE)
    assert nights.at(2, 2)["plate_images"] == set(PLATES)
    assert nights.at(2, 2, 1) == {}
    will_retry = {"dagster/will_retry": "true"}
    failed = (nights.instance, ("plate_images",), PLATES[0], DagsterRunStatus.FAILURE)
    planned_run(*failed, launched=True, **will_retry)
    assert nights.at(3, 2)["plate_images"] == {PLATES[1]}, "Dagster starts it again by itself"
    planned_run(*failed, **will_retry)
    assert PLATES[0] in nights.at(4, 2)["plate_images"], "the run of a command is not started again"


def test_what_found_another_run_at_work_is_asked_for_again_the_next_night(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "LOCK_TIMEOUT_SECONDS", 0)
    workshop = Workshop(nights.root, nights.instance)
    assert workshop.make("image_index").succeeded
    assert workshop.make("plate_images", plate=PLATES[0]).succeeded
    with WorkFolder(nights.root / ".work" / "image_quality" / PLATES[0]).locked():
        run = workshop.make("image_quality", plate=PLATES[0])
    assert not run.succeeded
    assert nights.at(2, 2)["image_quality"] == set(PLATES)


def test_model_from_elsewhere_is_made_when_it_is_missing(write_project: Callable[..., Workshop]) -> None:
    workshop = write_project(
        overrides={"profile": {"checkpoint": "given.hdf5"}, "model": {"source": "checkpoint"}}
    )
    register(workshop.instance, *PLATES)
    nights = Nights(workshop)
    assert nights.at(2, 2)["cnn/trained_model"] == {None}
    nights.clock.close()


def test_night_can_be_switched_off(tiny: Workshop) -> None:
    (tiny.root / "project.yaml").write_text(json.dumps({"automation": {"nightly": False, "weekly": False}}))
    defs = build_defs(tiny.root)
    graph = defs.resolve_asset_graph()
    assert all(graph.get(asset).automation_condition is None for asset in graph.get_all_asset_keys())
    names = {sensor.name for sensor in defs.get_repository_def().sensor_defs}
    assert names == {"new_plates", "failures"}
    assert not defs.get_repository_def().schedule_defs


def test_everything_is_running_when_it_is_shipped(tiny: Workshop) -> None:
    repository = build_defs(tiny.root).get_repository_def()
    sensors = {sensor.name: sensor.default_status for sensor in repository.sensor_defs}
    assert sensors == dict.fromkeys(
        ("new_plates", "failures", "nightly_backfill", "stale_results"), dg.DefaultSensorStatus.RUNNING
    )
    (schedule,) = repository.schedule_defs
    assert (schedule.name, schedule.default_status) == ("weekly_recheck", dg.DefaultScheduleStatus.RUNNING)
    assert key("image_index") in repository.asset_graph.get_all_asset_keys()
