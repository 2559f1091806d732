"""Experiments that read the same crops share one pass over the images when one run makes them."""

import json
import shutil
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import create_execution_plan, execute_run

from dp_assets.config.inheritance import merged
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets.orchestration import feature_companions, feature_extractors
from dp_assets.orchestration.code_location import build_defs
from dp_assets.profiling import plate_features
from dp_assets.profiling.shared_pass import Companion, Taker
from dp_assets.storage.checkpoint_card import card_path
from dp_assets.storage.image_sites import ImageSite
from dp_assets.storage.work import WorkFolder
from dp_assets_tests.orchestration.conftest import PLATES, _finished
from dp_assets_tests.orchestration.materializing import INDEX, Ran, Workshop
from dp_assets_tests.read_counting import count_reads

PLATE = PLATES[0]
FIRST, SECOND = "cnn/cell_features", "other/cell_features"
BOTH = (FIRST, SECOND)
IMAGES = 12
"""Of a plate: four sites of three channels."""


def add_experiment(
    workshop: Workshop, name: str, card: dict[str, Any] | None = None, seed: int = 3, **sections: Any
) -> None:
    """An experiment like `cnn`, but for some sections, that brings a small network in."""
    config = workshop.root / "inputs" / "config"
    data = json.loads((config / "cnn.json").read_text())
    data["profile"] = {"checkpoint": f"{name}.weights.h5", "feature_layer": "features", "batch_size": 5}
    data["train"]["model"]["params"] |= {"conv_blocks": 1, "feature_dim": 4}
    data = merged(data, sections)
    (config / f"{name}.json").write_text(json.dumps(data))
    size = data["dataset"]["locations"]["box_size"]
    request = NetworkRequest("cnn", (size, size, 3), 2, conv_blocks=1, feature_dim=4, target="T", seed=seed)
    weights = workshop.root / "inputs" / "pretrained" / f"{name}.weights.h5"
    weights.parent.mkdir(exist_ok=True)
    build_network(request).save_weights(weights)
    card_path(weights).unlink(missing_ok=True)
    if card:
        card_path(weights).write_text(json.dumps(card))


@cache
def _two(base: Path) -> Path:
    """The finished project with a second experiment, whose features were made alone."""
    root = shutil.copytree(_finished(base), base / "together" / "project")
    workshop = Workshop(root)
    add_experiment(workshop, "other")
    assert workshop.make(*INDEX).succeeded
    assert workshop.make("other/trained_model").succeeded
    assert workshop.make(SECOND, plate=PLATE).succeeded
    return root


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Experiment -> its table of features when nobody else is there."""
    root = _two(tmp_path_factory.getbasetemp())
    return {name: table(root, name).read_bytes() for name in ("cnn", "other")}


@pytest.fixture
def two(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Two experiments whose models are made and whose features are not."""
    template = _two(tmp_path_factory.getbasetemp())
    workshop = Workshop(shutil.copytree(template, tmp_path / "project"))
    for name in ("cnn", "other"):
        table(workshop.root, name).unlink()
    assert workshop.make(*INDEX).succeeded
    return workshop


def table(root: Path, experiment: str) -> Path:
    return root / "outputs" / experiment / "features" / f"{PLATE}.parquet"


def tables(workshop: Workshop) -> dict[str, bytes]:
    return {name: table(workshop.root, name).read_bytes() for name in ("cnn", "other")}


def make(workshop: Workshop, *assets: str, force: bool = False) -> Ran:
    run = workshop.make(*(assets or BOTH), plate=PLATE, force=force)
    assert run.succeeded, run.failures
    return run


def logged(workshop: Workshop) -> str:
    """What the newest run said."""
    [run] = workshop.instance.get_runs(limit=1)
    return "\n".join(entry.user_message for entry in workshop.instance.all_logs(run.run_id))


class Spies:
    """What was read, and which units each experiment kept and in whose step."""

    def __init__(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = count_reads(monkeypatch)
        self.kept: list[str] = []
        keep = WorkFolder.keep
        root = workshop.root / ".work"

        def keeping(work: WorkFolder, *arguments: Any, **settings: Any) -> str:
            self.kept.append(work.path.relative_to(root).parts[0])
            return keep(work, *arguments, **settings)

        monkeypatch.setattr(WorkFolder, "keep", keeping)

    @property
    def passes(self) -> set[int]:
        """How often the images were read."""
        assert len(self.reads) == IMAGES
        return set(self.reads.values())


@pytest.fixture
def spies(two: Workshop, monkeypatch: pytest.MonkeyPatch) -> Spies:
    return Spies(two, monkeypatch)


def test_one_pass_makes_the_features_of_both(two: Workshop, spies: Spies, alone: dict[str, bytes]) -> None:
    run = make(two)
    assert spies.passes == {1}
    assert sorted(spies.kept) == ["cnn"] * 4 + ["other"] * 4
    assert run.recomputed == set(BOTH)
    assert run.failed_checks == {}
    assert tables(two) == alone
    assert "other/cell_features of plate TINY00001: 4 sites are computed in the same pass" in logged(two)
    assert not list((two.root / ".work").rglob("*.npy"))
    assert make(two).recomputed == set()


def test_models_are_opened_once_for_all_plates(two: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    feature_extractors._extractor.cache_clear()
    make(two)
    assert two.make(*BOTH, plate=PLATES[1]).succeeded
    assert make(two, force=True).recomputed == set(BOTH)
    assert feature_extractors._extractor.cache_info().misses == 2


def test_so_many_networks_are_open_at_once(
    two: Workshop, spies: Spies, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_experiment(two, "third", seed=5)
    assert two.make("third/trained_model").succeeded
    monkeypatch.setattr(feature_companions, "MODELS_OPEN", 2)
    make(two, *BOTH, "third/cell_features")
    assert spies.passes == {2}
    assert logged(two).count("in the same pass") == 1


def test_the_job_of_the_ui_shares_a_pass(two: Workshop, spies: Spies, alone: dict[str, bytes]) -> None:
    job = build_defs(two.root).resolve_job_def("profile")
    assert job.execute_in_process(instance=two.instance, partition_key=PLATE).success
    assert spies.passes == {1}
    assert tables(two) == alone


def test_what_a_run_will_not_make_does_not_come_along(two: Workshop, spies: Spies) -> None:
    """A run that goes on with what failed has the settings of the failed one, but only some of its steps."""
    make(two)
    spies.kept.clear()
    forced = {"ops": {step_of(name): {"config": {"force": True}} for name in BOTH}}
    whole = build_defs(two.root).resolve_implicit_global_asset_job_def()
    job = whole.get_subset(asset_selection={dg.AssetKey(name.split("/")) for name in BOTH})
    plan = create_execution_plan(
        job, run_config=forced, step_keys_to_execute=[step_of(FIRST)], instance_ref=None
    )
    tags = {"dagster/partition": PLATE}
    run = two.instance.create_run_for_job(job, execution_plan=plan, run_config=forced, tags=tags)
    assert execute_run(InMemoryJob(job), run, two.instance).success
    assert spies.kept == ["cnn"] * 4


def step_of(asset: str) -> str:
    return asset.replace("/", "__")


@pytest.mark.parametrize(
    "sections",
    [
        {"single_cells": {"normalization": "zscore"}},
        {"single_cells": {"normalization": "plate"}, "prepare": {"compression": {"implement": False}}},
    ],
    ids=["zscore", "plate"],
)
def test_crops_are_shared_before_they_are_normalised(
    two: Workshop, spies: Spies, sections: dict[str, Any]
) -> None:
    """The statistics that only one of them needs are read for it."""
    if "prepare" in sections:
        two.configure(lambda data: data["prepare"].update(compression={"implement": False}))
    add_experiment(two, "other", **sections)
    assert two.make("other/trained_model").succeeded
    assert two.make("illumination_functions", plate=PLATE).succeeded
    spies.reads.clear()
    make(two)
    assert spies.passes == {1}
    together = tables(two)
    for name in ("cnn", "other"):
        table(two.root, name).unlink()
        make(two, f"{name}/cell_features")
    assert spies.passes == {3}
    assert tables(two) == together
    assert len(set(together.values())) == 2


@pytest.mark.parametrize(
    ("card", "sections"),
    [
        ({}, {"locations": {"box_size": 24}}),
        ({"channels": ["RNA", "DNA", "Mito"]}, {}),
        ({}, {"locations": {"mode": "full_image", "view_size": 64}}),
    ],
    ids=["box", "channels", "locations"],
)
def test_other_crops_are_not_shared(
    two: Workshop, spies: Spies, card: dict[str, Any], sections: dict[str, Any]
) -> None:
    add_experiment(two, "other", card, dataset=sections, model={"allow_channel_mapping": True})
    assert two.make("other/trained_model").succeeded
    make(two)
    assert spies.passes == {2}
    assert "in the same pass" not in logged(two)


def test_a_model_that_the_same_run_makes_later_is_waited_for(two: Workshop, spies: Spies) -> None:
    add_experiment(two, "other", seed=4)
    run = make(two, "other/trained_model", *BOTH)
    assert run.recomputed == {"other/trained_model", *BOTH}
    assert spies.passes == {2}
    assert "in the same pass" not in logged(two)


def test_a_model_that_the_same_run_has_made_is_there(two: Workshop, spies: Spies) -> None:
    """Steps that can begin at once begin in the order of their names."""
    add_experiment(two, "another", seed=4)
    run = make(two, "another/trained_model", "another/cell_features", FIRST)
    assert run.recomputed == {"another/trained_model", "another/cell_features", FIRST}
    assert spies.passes == {1}


def test_who_is_current_is_left_in_peace(two: Workshop, spies: Spies, alone: dict[str, bytes]) -> None:
    table(two.root, "other").write_bytes(alone["other"])
    assert make(two).recomputed == {FIRST}
    assert spies.kept == ["cnn"] * 4
    assert tables(two) == alone


def test_force_makes_all_again_in_one_pass(
    two: Workshop, spies: Spies, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(two)
    spies.reads.clear()
    spies.kept.clear()

    def refused(*_: Any) -> bool:
        raise AssertionError("taken over")

    monkeypatch.setattr(WorkFolder, "adopt", refused)
    assert make(two, force=True).recomputed == set(BOTH)
    assert spies.passes == {1}
    assert sorted(spies.kept) == ["cnn"] * 4 + ["other"] * 4
    assert tables(two) == alone


def test_who_is_at_work_elsewhere_is_left_alone(
    two: Workshop, spies: Spies, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other's lock is let go of when the first table is written: its own step finds it free."""
    elsewhere = WorkFolder(two.root / ".work" / "other" / "cell_features" / PLATE).locked()
    elsewhere.__enter__()
    stream = plate_features.TableStream

    def let_go(*arguments: Any, **facts: Any) -> Any:
        nonlocal elsewhere
        if elsewhere is not None:
            elsewhere.__exit__(None, None, None)
            elsewhere = None
        return stream(*arguments, **facts)

    monkeypatch.setattr(plate_features, "TableStream", let_go)
    make(two)
    assert spies.passes == {2}
    assert tables(two) == alone
    assert "other/cell_features of plate TINY00001 is left to its own step: AtWorkError" in logged(two)


def test_a_damaged_model_is_a_matter_of_its_own_step(two: Workshop, alone: dict[str, bytes]) -> None:
    feature_extractors._extractor.cache_clear()
    [network] = (two.root / "outputs" / "other" / "trained_model").rglob("model.keras")
    network.write_bytes(b"nothing")
    run = two.make(*BOTH, plate=PLATE)
    assert not run.succeeded
    assert "model.keras" in run.message
    assert FIRST in run.metadata
    assert table(two.root, "cnn").read_bytes() == alone["cnn"]
    assert not table(two.root, "other").exists()
    assert "other/cell_features of plate TINY00001 is left to its own step: " in logged(two)


def test_a_run_that_broke_off_is_resumed_by_both(
    two: Workshop, monkeypatch: pytest.MonkeyPatch, alone: dict[str, bytes]
) -> None:
    keep_features = plate_features._keep_features
    began: list[Taker] = []

    def broken_off(taker: Taker, crops: Iterator[tuple[ImageSite, np.ndarray]]) -> None:
        """Two sites of each in the pass of the first, and nothing in the step of the second."""
        began.append(taker)
        keep_features(taker, islice(crops, 2 if len(began) < 3 else 0))
        if not isinstance(taker, Companion):
            raise RuntimeError("broken off")

    with monkeypatch.context() as patch:
        patch.setattr(plate_features, "_keep_features", broken_off)
        assert len(two.make(*BOTH, plate=PLATE).failures) == 2
    for name in ("cnn", "other"):
        work = two.root / ".work" / name / "cell_features" / PLATE
        assert len(list(work.rglob("*.npy"))) == 2, name
    spies = Spies(two, monkeypatch)
    make(two)
    assert sum(spies.reads.values()) == IMAGES // 2
    assert sorted(spies.kept) == ["cnn"] * 2 + ["other"] * 2
    assert tables(two) == alone


def test_a_run_of_one_experiment_makes_nothing_of_another(two: Workshop, spies: Spies) -> None:
    make(two, FIRST)
    assert spies.kept == ["cnn"] * 4
    assert not table(two.root, "other").exists()
