"""When an experiment trains again: plates of the split that the model does not know, and no loops."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance
from dagster._core.storage.dagster_run import DagsterRunStatus

from dp_assets.config.project import load_project
from dp_assets.orchestration.automation import retraining
from dp_assets.orchestration.automation.retraining import Asked, SplitPlates, decide, split_plates
from dp_assets.orchestration.code_location import build_defs
from dp_assets.orchestration.live_runs import live
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets_tests.orchestration.automation.records import made, met_another, planned_run
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
    planned_run(workshop.instance, ("cnn/trained_model",), None, status, **tags_of(asked))
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


def test_a_run_that_met_the_training_and_ended_does_not_hide_it(
    write_project: Callable[..., Workshop],
) -> None:
    workshop = project(write_project, "new_plates")
    experiment = load_project(workshop.root).experiments["cnn"]
    training = planned_run(workshop.instance, ("cnn/trained_model",), None, DagsterRunStatus.STARTED)
    met_another(workshop.instance, ("cnn/trained_model",), None)
    _, request, said = decide(experiment, plates("P1 P2 P3"), Asked(), workshop.instance)
    assert (request, said) == (None, "another run is training")
    workshop.instance.report_run_failed(training)
    _, request, _ = decide(experiment, plates("P1 P2 P3"), Asked(), workshop.instance)
    assert request is not None


def test_a_run_of_a_whole_job_trains_too(write_project: Callable[..., Workshop]) -> None:
    workshop = project(write_project, "new_plates")
    experiment = load_project(workshop.root).experiments["cnn"]
    for name, trains in (("plate_images", True), ("cnn/trained_model", False)):
        run = planned_run(workshop.instance, (name,), None, DagsterRunStatus.STARTED, selected=False)
        assert run.asset_selection is None
        _, request, _ = decide(experiment, plates("P1 P2 P3"), Asked(), workshop.instance)
        assert (request is not None) is trains, name


@pytest.mark.parametrize(
    ("launched", "has_process", "blocks"), [(False, False, False), (False, True, True), (True, False, True)]
)
def test_a_run_that_never_began_blocks_only_while_it_can_begin(
    write_project: Callable[..., Workshop], tmp_path: Path, launched: bool, has_process: bool, blocks: bool
) -> None:
    experiment = load_project(project(write_project, "new_plates").root).experiments["cnn"]
    asset, status = ("cnn/trained_model",), DagsterRunStatus.NOT_STARTED
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = planned_run(instance, asset, None, status, launched=launched)
        with live(instance, run.run_id) if has_process else nullcontext():
            _, request, _ = decide(experiment, plates("P1 P2 P3"), Asked(), instance)
    assert (request is None) is blocks


def test_a_training_that_met_another_is_requested_again_in_an_hour(
    write_project: Callable[..., Workshop], monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = project(write_project, "new_plates")
    experiment = load_project(workshop.root).experiments["cnn"]
    asked, _, _ = decide(experiment, plates("P1 P2 P3"), Asked(), workshop.instance)
    met_another(workshop.instance, ("cnn/trained_model",), None, **tags_of(asked))
    now = time.time()
    for later, again in ((0, False), (3500, False), (3700, True)):
        monkeypatch.setattr(retraining.time, "time", lambda later=later: now + later)
        _, request, said = decide(experiment, plates("P1 P2 P3"), asked, workshop.instance)
        assert (request is not None) is again
        told = "the training is requested again in an hour: another run was at work there"
        assert said == ("" if again else told)


def test_only_trainings_that_were_killed_are_counted(
    write_project: Callable[..., Workshop], monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = project(write_project, "new_plates")
    experiment = load_project(workshop.root).experiments["cnn"]
    monkeypatch.setattr(retraining, "SECONDS_AFTER_MEETING", 0.0)
    asked, asset = Asked(), ("cnn/trained_model",)
    for killed in (False, False, True, False, False, True, False, True):
        asked, request, why = decide(experiment, plates("P1 P2 P3"), asked, workshop.instance)
        assert request is not None, why
        if killed:
            planned_run(workshop.instance, asset, None, DagsterRunStatus.FAILURE, **tags_of(asked))
        else:
            met_another(workshop.instance, asset, None, **tags_of(asked))
    _, request, why = decide(experiment, plates("P1 P2 P3"), asked, workshop.instance)
    assert request is None
    assert why == "3 trainings came to nothing (of the last: it was killed or stopped); start one by hand"


def tags_of(asked: Asked) -> dict[str, str]:
    """Of the run that was requested last."""
    return {"dagster/run_key": asked.run_key("cnn"), "dp/automation": "retraining"}


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
