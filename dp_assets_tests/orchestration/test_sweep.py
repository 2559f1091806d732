"""Sweeps: the variants they make, what is trained again, and what the table says."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dp_assets.config.errors import ConfigurationError, ProjectError
from dp_assets.config.project import Project, load_project
from dp_assets.config.sweep_file import SweepSettings, load_sweep
from dp_assets.orchestration import sweep as sweeps
from dp_assets.orchestration.sweep import Trial, Variant, grid_variants, run_sweep, trial_table
from dp_assets_tests.orchestration.materializing import Workshop, call

RATE = "train.model.params.learning_rate"


def write_sweep(root: Path, name: str = "rates", **data: Any) -> None:
    path = root / "inputs" / "config" / "sweeps" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({"experiment": "cnn", **data}))


@pytest.fixture
def project(tiny: Workshop) -> Project:
    return load_project(tiny.root)


class Lanes:
    """Stands in for materializing: remembers the lanes, and scores them by a function of their settings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, score: Any, fails: tuple[int, ...] = ()) -> None:
        self.ran: list[Variant] = []
        self.fails = fails
        made = self

        def scores(_: Project, lane: str) -> dict[str, float]:
            variant = next(v for v in reversed(made.ran) if v.lane == lane)
            return {"val_accuracy": score(variant.settings)}

        monkeypatch.setattr(sweeps, "_scores", scores)

    def __call__(self, variant: Variant) -> str | None:
        self.ran.append(variant)
        return "diverged\nsecond line" if variant.number in self.fails else None


def sweep(project: Project, lanes: Lanes, **data: Any) -> list[Trial]:
    write_sweep(project.root, **data)
    name, settings = load_sweep(project.root, "rates")
    return run_sweep(project, name, settings, lanes, tried=lambda _: None)


def test_a_grid_has_all_combinations() -> None:
    variants = list(grid_variants("My Grid", {"a.b": (1, 2), "c": ("x", None)}))
    assert [v.settings for v in variants] == [
        {"a.b": 1, "c": "x"},
        {"a.b": 1, "c": None},
        {"a.b": 2, "c": "x"},
        {"a.b": 2, "c": None},
    ]
    assert [v.lane for v in variants] == [f"my_grid_00{n}" for n in (1, 2, 3, 4)]


def test_every_variant_is_an_experiment_that_extends_the_one_varied(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = Lanes(monkeypatch, lambda settings: settings[RATE])
    sweep(project, lanes, grid={RATE: [0.5, 0.25]}, metric="val_accuracy")
    changed = load_project(project.root)
    assert changed.broken == {}
    assert set(changed.experiments) == {"cnn", "rates_001", "rates_002"}
    rates = [changed.experiments[f"rates_00{n}"].training().network.params.learning_rate for n in (1, 2)]
    assert rates == [0.5, 0.25]
    file = json.loads((project.root / "inputs/config/rates_001.json").read_text())
    assert file["extends"] == "cnn.json"


def test_the_table_has_the_best_first_and_failures_last(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = Lanes(monkeypatch, lambda settings: settings[RATE], fails=(2,))
    trials = sweep(project, lanes, grid={RATE: [0.1, 0.2, 0.3]}, metric="val_accuracy")
    table = trial_table(trials, SweepSettings(experiment="cnn", grid={RATE: (1,)}, metric="val_accuracy"))
    assert table["trial"].tolist() == [3, 1, 2]
    assert table["failure"].tolist() == ["", "", "diverged"]
    smallest = SweepSettings(experiment="cnn", grid={RATE: (1,)}, metric="val_accuracy", direction="minimize")
    assert trial_table(trials, smallest)["trial"].tolist() == [1, 3, 2]


def test_losses_are_minimized_and_accuracies_maximized() -> None:
    found = {
        metric: SweepSettings(experiment="cnn", grid={RATE: (1,)}, metric=metric).maximizes
        for metric in ("val_loss", "val_accuracy", "top_k", "mse")
    }
    assert found == {"val_loss": False, "val_accuracy": True, "top_k": True, "mse": False}


def test_a_search_finds_the_neighbourhood_of_the_optimum(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = Lanes(monkeypatch, lambda settings: -abs(settings[RATE] - 0.02))
    space = {RATE: {"low": 0.0001, "high": 1.0, "log": True}, "train.model.epochs": [1, 2]}
    trials = sweep(project, lanes, search={"trials": 25, "space": space}, metric="val_accuracy")
    best = max(trials, key=lambda trial: (trial.scores or {})["val_accuracy"])
    assert 0.005 < best.variant.settings[RATE] < 0.08
    assert {trial.variant.settings["train.model.epochs"] for trial in trials} == {1, 2}


def test_a_search_goes_on_where_it_was(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(lanes: Lanes, trials: int) -> list[dict[str, Any]]:
        found = sweep(
            project,
            lanes,
            search={"trials": trials, "space": {RATE: {"low": 0.1, "high": 1.0}}},
            metric="val_accuracy",
        )
        return [trial.variant.settings for trial in found]

    first = search(Lanes(monkeypatch, lambda settings: settings[RATE]), 3)
    longer = search(Lanes(monkeypatch, lambda settings: settings[RATE]), 5)
    assert longer[:3] == first
    assert len(longer) == 5

    class KilledError(Exception):
        pass

    class Killed(Lanes):
        def __call__(self, variant: Variant) -> str | None:
            super().__call__(variant)
            if variant.number == 6:
                raise KilledError
            return None

    killed = Killed(monkeypatch, lambda settings: settings[RATE])
    with pytest.raises(KilledError):
        search(killed, 7)
    after = search(Lanes(monkeypatch, lambda settings: settings[RATE]), 7)
    assert after[:5] == longer
    # the training that was cut off goes on with the same settings
    assert after[5] == killed.ran[-1].settings


def test_a_metric_that_the_model_does_not_have_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = Lanes(monkeypatch, lambda settings: settings[RATE])
    space = {RATE: {"low": 0.1, "high": 1.0}}
    with pytest.raises(ProjectError, match=r"no score 'val_top'; it has val_accuracy"):
        sweep(project, lanes, search={"trials": 2, "space": space}, metric="val_top")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "either grid or search"),
        ({"grid": {RATE: [1]}, "search": {"trials": 1, "space": {RATE: [1]}}}, "either grid or search"),
        ({"grid": {RATE: []}}, "at least one value"),
        ({"grid": {"train.model.epoch": [1]}}, 'unknown key "epoch"'),
        ({"search": {"trials": 0, "space": {RATE: [1]}}}, "trials"),
        ({"search": {"trials": 1, "space": {RATE: {"low": 2, "high": 1}}}}, "low"),
        ({"grid": {RATE: [1]}, "trails": 3}, 'unknown key "trails"'),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, data: dict[str, Any], says: str) -> None:
    (tmp_path / "inputs/config").mkdir(parents=True)
    write_sweep(tmp_path, **data)
    with pytest.raises(ConfigurationError, match=says):
        load_sweep(tmp_path, "rates")


def test_an_unknown_sweep_or_experiment_is_answered_with_those_there_are(project: Project) -> None:
    write_sweep(project.root, grid={RATE: [1]}, experiment="dnn")
    with pytest.raises(ConfigurationError, match=r"there are: rates\.yaml"):
        load_sweep(project.root, "other")
    name, settings = load_sweep(project.root, "rates")
    with pytest.raises(ConfigurationError, match="no experiment 'dnn' that trains") as caught:
        run_sweep(project, name, settings, lambda _: None, tried=lambda _: None)
    assert "cnn" in str(caught.value)


@pytest.mark.parametrize("text", ['{"mine": 1}', '{"extends": "cnn.json"}', "no JSON"])
def test_a_file_that_is_not_of_the_sweep_is_not_overwritten(
    project: Project, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    own = project.root / "inputs/config/rates_001.json"
    own.write_text(text)
    with pytest.raises(ConfigurationError, match="not of this sweep"):
        sweep(project, Lanes(monkeypatch, lambda _: 0.0), grid={RATE: [1]})
    assert own.read_text() == text


def test_a_changed_sweep_writes_its_own_files_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = Lanes(monkeypatch, lambda settings: settings[RATE])
    for rate in (0.5, 0.25):
        sweep(project, lanes, grid={RATE: [rate]}, metric="val_accuracy")
    changed = load_project(project.root).experiments["rates_001"].training()
    assert changed.network.params.learning_rate == 0.25


def test_the_command_trains_and_tabulates(tiny: Workshop) -> None:
    write_sweep(tiny.root, grid={RATE: [0.001, 0.002]}, metric="val_accuracy")
    result = call(tiny.root, "sweep", "rates")
    assert result.exit_code == 0, result.output
    assert "rates_002" in result.output
    table = (tiny.root / "sweeps/rates/trials.csv").read_text().splitlines()
    assert table[0].startswith(f"trial,experiment,{RATE},accuracy,loss")
    assert len(table) == 3


def test_a_value_that_cannot_be_used_is_named_before_anything_is_trained_or_written(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = Lanes(monkeypatch, lambda _: 0.5)
    with pytest.raises(ConfigurationError, match=r'sweep rates, .*learning_rate is "fast"'):
        sweep(project, lanes, grid={RATE: [0.1, "fast"]})
    assert lanes.ran == []
    assert not (project.root / "inputs" / "config" / "rates_001.json").exists()


def test_unknown_keys_and_wrong_ranges_are_named_in_the_sweeps_file(project: Project) -> None:
    write_sweep(project.root, grid={"train.model.epohcs": [1]})
    with pytest.raises(ConfigurationError, match=r"rates\.yaml: train\.model\.epohcs"):
        load_sweep(project.root, "rates")
    write_sweep(project.root, search={"trials": 1, "space": {RATE: {"low": 1, "high": 0.1}}})
    with pytest.raises(ConfigurationError) as caught:
        load_sweep(project.root, "rates")
    assert len(caught.value.problems) == 1
    assert f"search.space.{RATE}" in caught.value.problems[0].where
    assert "low must not be above high" in caught.value.problems[0].what
    assert "function-after" not in str(caught.value)


def test_a_grid_that_goes_by_a_score_nobody_measures_stops_after_its_first_model(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = Lanes(monkeypatch, lambda _: 0.5)
    with pytest.raises(ProjectError, match="no score 'val_f2'; it has val_accuracy"):
        sweep(project, lanes, grid={RATE: [0.1, 0.2]}, metric="val_f2")
    assert len(lanes.ran) == 1
