"""When an experiment trains again: plates of the split that the model does not know, and no loops."""

from collections.abc import Callable

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import DagsterRunStatus

from dp_assets.config.project import load_project
from dp_assets.orchestration.automation.retraining import Asked, SplitPlates, decide, split_plates
from dp_assets.orchestration.code_location import build_defs
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets_tests.orchestration.automation.records import made, planned_run
from dp_assets_tests.orchestration.materializing import Workshop

KNOWN = ("P1", "P2")


def project(write_project: Callable[..., Workshop], retrain: object) -> Workshop:
    return write_project(overrides={"train": {"retrain": retrain}})


def plates(ready: str, unfinished: str = "") -> SplitPlates:
    return SplitPlates(tuple(ready.split()), tuple(unfinished.split()), KNOWN)


@pytest.mark.parametrize(
    ("retrain", "ready", "unfinished", "trains", "why"),
    [
        ("new_plates", "P1 P2", "", False, "0 new plates"),
        ("new_plates", "P1 P2 P3", "", True, ""),
        (
            "new_plates",
            "P1 P2 P3",
            "P4",
            False,
            "waits for the plates of the split that are not finished: P4",
        ),
        ("2 plates", "P1 P2 P3", "", False, "1 new plates of the split, 2 start a training"),
        ("2 plates", "P1 P2 P3 P4", "", True, ""),
        ("2 plates", "P2 P3 P4", "", True, ""),
    ],
)
def test_so_many_new_plates_train(
    write_project: Callable[..., Workshop], retrain: str, ready: str, unfinished: str, trains: bool, why: str
) -> None:
    workshop = project(write_project, retrain)
    experiment = load_project(workshop.root).experiments["cnn"]
    _, request, said = decide(experiment, plates(ready, unfinished), Asked(), workshop.instance)
    assert (request is not None) == trains
    assert why in said
    if request is not None:
        assert request.asset_selection == [dg.AssetKey(["cnn", n]) for n in ("training_set", "trained_model")]


@pytest.mark.parametrize(
    ("status", "reason", "again"),
    [
        (DagsterRunStatus.STARTED, False, False),
        (DagsterRunStatus.SUCCESS, False, False),
        (DagsterRunStatus.FAILURE, True, False),
        (DagsterRunStatus.FAILURE, False, True),
    ],
)
def test_a_training_is_asked_for_again_only_when_it_was_killed(
    write_project: Callable[..., Workshop],
    monkeypatch: pytest.MonkeyPatch,
    status: DagsterRunStatus,
    reason: bool,
    again: bool,
) -> None:
    workshop = project(write_project, "new_plates")
    experiment = load_project(workshop.root).experiments["cnn"]
    new = plates("P1 P2 P3")
    asked, request, _ = decide(experiment, new, Asked(), workshop.instance)
    assert request is not None
    tags = {"dagster/run_key": asked.run_key("cnn"), "dp/automation": "retraining"}
    planned_run(workshop.instance, ("cnn/trained_model",), None, status, **tags)
    steps = {"cnn__trained_model"} if reason else set()
    monkeypatch.setattr("dp_assets.orchestration.automation.ended_runs.failed_steps", lambda *_: steps)
    asked, request, _ = decide(experiment, new, asked, workshop.instance)
    assert (request is not None) == again
    # another plate is another matter, once the training has ended
    _, request, _ = decide(experiment, plates("P1 P2 P3 P4"), asked, workshop.instance)
    assert (request is not None) == (status != DagsterRunStatus.STARTED)


def test_no_training_is_asked_for_while_a_command_trains(write_project: Callable[..., Workshop]) -> None:
    workshop = project(write_project, "new_plates")
    experiment = load_project(workshop.root).experiments["cnn"]
    new, asset = plates("P1 P2 P3"), ("cnn/trained_model",)
    training = planned_run(workshop.instance, asset, None, DagsterRunStatus.STARTED)
    asked, request, said = decide(experiment, new, Asked(), workshop.instance)
    assert (asked, request, said) == (Asked(), None, "another run is training"), "and no attempt is counted"
    workshop.instance.report_run_failed(training)
    _, request, _ = decide(experiment, new, asked, workshop.instance)
    assert request is not None


def test_plates_of_the_split_are_those_of_the_index_whose_crops_are_there(
    write_project: Callable[..., Workshop],
) -> None:
    workshop = project(write_project, "new_plates")
    resource = ProjectResource.of(load_project(workshop.root))
    experiment = load_project(workshop.root).experiments["cnn"]
    assert split_plates(experiment, resource, workshop.instance) == SplitPlates((), (), ())
    workshop.rewrite_index(
        lambda lines: [line.replace("training", "none").replace("validation", "none")
                       if "TINY00002" in line else line for line in lines]
    )  # fmt: skip
    assert workshop.make("image_index").succeeded
    assert split_plates(experiment, resource, workshop.instance) == SplitPlates((), ("TINY00001",), ())
    made(workshop.instance, "plate_annotations", "TINY00001", "TINY00002")
    made(workshop.instance, "single_cells/box32", "TINY00001")
    assert split_plates(experiment, resource, workshop.instance) == SplitPlates(("TINY00001",), (), ())


def test_published_model_knows_its_plates_and_its_features_follow(finished: Workshop) -> None:
    finished.configure(lambda data: data["train"].update(retrain="new_plates"))
    names = ("TINY00001", "TINY00002")
    made(finished.instance, "plate_annotations", *names)
    made(finished.instance, "single_cells/box32", *names)
    sensor = build_defs(finished.root).get_repository_def().get_sensor_def("retraining")
    context = dg.build_sensor_context(
        instance=finished.instance, repository_def=build_defs(finished.root).get_repository_def()
    )
    result = sensor(context)
    assert not result.run_requests
    assert "0 new plates" in str(result.skip_reason)
    made(finished.instance, "cnn/cell_features", *names)
    assert finished.make("cnn/training_set", "cnn/trained_model").succeeded
    result = sensor(context)
    asked = {(r.partition_key, len(r.asset_selection)) for r in result.run_requests}
    assert asked == {(name, 1) for name in names}, "features without a known model are stale"


def test_never_is_the_default_and_has_no_sensor(tiny: Workshop) -> None:
    names = {sensor.name for sensor in build_defs(tiny.root).get_repository_def().sensor_defs}
    assert "retraining" not in names
