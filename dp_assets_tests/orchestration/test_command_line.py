"""The command line: what each command does, says and returns."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import pandas as pd
import pytest
from click.testing import CliRunner
from dagster import DagsterInstance

from dp_assets.cli import main
from dp_assets_tests.orchestration.materializing import PIXELS, TABLES, Workshop, call, contents

FIRST, SECOND = "TINY00001", "TINY00002"


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name in ("setup", "demo", "doctor", "split", "run", "figure", "ui"):
        assert f"\n  {name}" in result.output


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_has_help(name: str) -> None:
    command = main.commands[name]
    assert command.get_short_help_str()
    assert CliRunner().invoke(main, [name, "-h"]).exit_code == 0
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in ("port", "host", "help"):
            assert parameter.help, parameter.name


# setup --------------------------------------------------------------------------------


def test_setup_makes_the_tree_of_the_handbook_and_the_instance(tmp_path: Path) -> None:
    root = tmp_path / "new"
    result = call(root, "setup")
    assert result.exit_code == 0
    leaves = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }
    assert leaves == {
        *(f"inputs/{name}" for name in ("config", "images", "locations", "metadata", "pretrained")),
        *(f"outputs/{name}" for name in ("compressed/images", "compressed/metadata", "intensities")),
        *(f"outputs/results/{name}" for name in ("checkpoint", "features", "logs", "summaries")),
        "outputs/single_cells",
        ".dagster/dagster.yaml",
    }
    with DagsterInstance.from_config(str(root / ".dagster")) as instance:
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
        assert list(instance.managed_python_loggers) == ["dp_assets"], "warnings go into the log of the run"


def test_setup_again_changes_nothing(tiny: Workshop) -> None:
    call(tiny.root, "setup")
    mine = tiny.root / ".dagster" / "dagster.yaml"
    mine.write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    before = contents(tiny.root)
    result = call(tiny.root, "setup")
    assert result.exit_code == 0
    assert "made" not in result.output
    assert contents(tiny.root) == before


# split --------------------------------------------------------------------------------


def test_split_shares_out_the_rows(tiny: Workshop) -> None:
    metadata = tiny.root / "inputs" / "metadata"
    assert call(tiny.root, "split", "--parts", "2").exit_code == 0
    parts = [pd.read_csv(metadata / f"index-00{number}.csv", dtype=str) for number in range(2)]
    assert [set(part["Metadata_Plate"]) for part in parts] == [{FIRST}, {SECOND}]
    whole = pd.read_csv(metadata / "index.csv", dtype=str)
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)


def test_split_into_more_parts_than_there_are_plates(tiny: Workshop) -> None:
    result = call(tiny.root, "split", "--parts", "3")
    assert result.exit_code == 1
    assert "the index has 2 plates" in result.stderr
    assert "split by well" in result.stderr
    assert call(tiny.root, "split", "--parts", "3", "--by", "well").exit_code == 0


# run --------------------------------------------------------------------------------


def test_run_prepares_the_plates_asked_for(tiny: Workshop) -> None:
    assert call(tiny.root, "run", "index").exit_code == 0
    result = call(tiny.root, "run", "prepare", "--plates", SECOND)
    assert result.exit_code == 0, result.output
    assert f"✓ prepare {SECOND}" in result.output
    made = {path.stem for path in (tiny.root / "outputs" / "intensities").iterdir()}
    assert made == {SECOND}
    outputs = contents(tiny.root / "outputs")
    assert f"compressed/images/{SECOND}/A01_s1_DNA.png" in outputs
    assert call(tiny.root, "run", "prepare", "--plates", SECOND).exit_code == 0
    assert contents(tiny.root / "outputs") == outputs


def test_run_all_keeps_what_is_made_and_forced_runs_make_it_again(finished: Workshop) -> None:
    times = modification_times(
        finished.root, "intensities", "compressed/images", "single_cells", "cnn/features"
    )
    result = call(finished.root, "run", "all")
    assert result.exit_code == 0, result.output
    lines = [line.split()[1:3] for line in result.output.splitlines() if line.startswith("✓")]
    assert [" ".join(words) if words[1].startswith("TINY") else words[0] for words in lines] == [
        "index",
        f"prepare {FIRST}",
        f"prepare {SECOND}",
        f"export_single_cells {FIRST}",
        f"export_single_cells {SECOND}",
        "train",
        f"profile {FIRST}",
        f"profile {SECOND}",
        "evaluate",
    ]
    assert modification_times(finished.root, *times) == times
    assert call(finished.root, "run", "prepare", "--plates", FIRST, "--force").exit_code == 0
    forced = modification_times(finished.root, *times)
    assert forced["intensities"] > times["intensities"]
    assert forced["cnn/features"] == times["cnn/features"]


def modification_times(root: Path, *places: str) -> dict[str, int]:
    """Place -> the newest modification time of what was published there."""
    return {
        place: max(
            path.stat().st_mtime_ns for path in (root / "outputs" / place).rglob("*") if path.is_file()
        )
        for place in places
    }


def test_run_trains_the_experiment_asked_for(write_project: Callable[..., Workshop]) -> None:
    workshop = write_project(experiments=("cnn", "efficientnet"), plates=1)
    for stage in ("index", "prepare", "export_single_cells"):
        assert call(workshop.root, "run", stage).exit_code == 0
    result = call(workshop.root, "run", "train", "--experiment", "cnn")
    assert result.exit_code == 0, result.output
    assert (workshop.root / "outputs" / "cnn" / "trained_model" / "model.keras").exists()
    assert not (workshop.root / "outputs" / "efficientnet").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["prepare", "--plates", "P9,TINY00001"],
            ["unknown plates: P9", f"registered are: {FIRST}, {SECOND}"],
        ),
        (["train", "--experiment", "resnet"], ["no experiment resnet", "there are: cnn"]),
        (["all", "--experiment", "other"], ["no experiment other", "other.json: not JSON"]),
    ],
)
def test_run_of_something_unknown(tiny: Workshop, arguments: list[str], said: list[str]) -> None:
    (tiny.root / "inputs" / "config" / "other.json").write_text("{", encoding="utf-8")
    call(tiny.root, "run", "index")
    before = contents(tiny.root / "outputs")
    result = call(tiny.root, "run", *arguments)
    assert result.exit_code == 1
    for text in said:
        assert text in result.stderr
    assert "Traceback" not in result.output
    assert contents(tiny.root / "outputs") == before


def test_run_of_an_unknown_stage(tiny: Workshop) -> None:
    result = call(tiny.root, "run", "bake")
    assert result.exit_code == 2
    assert "export_single_cells" in result.stderr


def test_run_before_plates_are_registered(tiny: Workshop) -> None:
    result = call(tiny.root, "run", "prepare")
    assert result.exit_code == 1
    assert "no plates are registered" in result.stderr
    assert "stage `index`" in result.stderr


def test_run_of_a_stage_nobody_describes(tiny: Workshop) -> None:
    tiny.configure(lambda data: data.pop("prepare"))
    tiny.configure(lambda data: data.pop("profile"))
    result = call(tiny.root, "run", "profile")
    assert result.exit_code == 1
    assert "no experiment describes the stage profile" in result.stderr


def test_run_all_without_experiments_says_what_is_not_done(tiny: Workshop) -> None:
    (tiny.root / "inputs" / "config" / "cnn.json").write_text("{", encoding="utf-8")
    result = call(tiny.root, "run", "all")
    assert "experiment cnn.json is left out" in result.output
    assert "no experiment describes: prepare, export_single_cells, train, profile" in result.output
    assert result.exit_code == 1  # asked for, and not done


def test_an_experiment_that_only_exports_can_be_chosen_and_makes_its_own_crops_alone(tiny: Workshop) -> None:
    data = json.loads((tiny.root / "inputs" / "config" / "cnn.json").read_text())
    del data["train"], data["profile"]
    for name, box in (("Export-only", 32), ("other", 40)):
        data["dataset"]["locations"]["box_size"] = box
        (tiny.root / "inputs" / "config" / f"{name}.json").write_text(json.dumps(data))
    for stage in ("index", "prepare", "export_single_cells"):
        result = call(tiny.root, "run", stage, "--experiment", "Export-only.json")
        assert result.exit_code == 0, result.output
    made = [path.name for path in (tiny.root / "outputs" / "single_cells").iterdir() if path.name[0] != "."]
    assert made == ["box32"]


def test_a_failed_plate_is_reported_the_others_are_done_and_later_stages_are_not_begun(
    tiny: Workshop,
) -> None:
    (tiny.root / "inputs" / "images" / FIRST / "A02_s1_RNA.tiff").unlink()
    result = call(tiny.root, "run", "all")
    assert result.exit_code == 1
    assert f"✗ prepare {FIRST}" in result.output
    assert f"✓ prepare {SECOND}" in result.output
    assert "A02_s1_RNA.tiff does not exist" in result.output or "A02_s1_RNA.tiff: " in result.output
    assert "export_single_cells" not in result.output
    assert (tiny.root / "outputs" / "intensities" / f"{SECOND}.npz").exists()
    assert not (tiny.root / "outputs" / "intensities" / f"{FIRST}.npz").exists()


def test_run_leaves_out_plates_that_left_the_index(finished: Workshop) -> None:
    assert call(finished.root, "run", "index").exit_code == 0
    finished.rewrite_index(lambda lines: [line for line in lines if SECOND not in line])
    result = call(finished.root, "run", "all")
    assert result.exit_code == 0, result.output
    assert "plates_listed" in result.output
    assert f"prepare {FIRST}" in result.output
    assert f"prepare {SECOND}" not in result.output


def test_run_uses_the_instance_that_the_environment_names(
    tiny: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    result = call(tiny.root, "run", "index")
    assert result.exit_code == 1
    assert "$DAGSTER_HOME" in result.stderr
    (tmp_path / "home").mkdir()
    assert call(tiny.root, "run", "index").exit_code == 0
    assert not (tiny.root / ".dagster").exists()
    with DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        assert instance.get_dynamic_partitions("plates") == [FIRST, SECOND]


def test_dose_response_figure_of_an_experiment_that_is_not_there(tiny: Workshop, tmp_path: Path) -> None:
    arguments = ["figure", "dose-response", "--experiment", "nothing", "--output", str(tmp_path / "a.png")]
    result = call(tiny.root, *arguments)
    assert result.exit_code == 1
    assert "nothing" in result.stderr
    assert not (tmp_path / "a.png").exists()


def test_the_same_records_whether_run_by_the_command_line_or_by_dagster(tiny: Workshop) -> None:
    """Dagster sees what `dp-assets run` made, and makes only what is missing."""
    call(tiny.root, "run", "index")
    call(tiny.root, "run", "prepare", "--plates", FIRST)
    with DagsterInstance.from_config(str(tiny.root / ".dagster")) as instance:
        workshop = Workshop(tiny.root, instance)
        assert workshop.make(*TABLES, *PIXELS, plate=FIRST).recomputed == {"single_cells/box32"}
        records = instance.get_run_records(limit=3)
        assert {record.dagster_run.tags.get("dp/stage") for record in records} == {None, "prepare", "index"}


# run --set ----------------------------------------------------------------------------


def test_a_key_set_for_one_run_is_that_of_the_run(tiny: Workshop) -> None:
    result = call(tiny.root, "run", "index", "--set", "dataset.images.channels=[Nowhere]")
    assert result.exit_code == 1
    assert "there is no column for channel Nowhere" in " ".join(result.output.split())
    assert call(tiny.root, "run", "index").exit_code == 0


def test_an_unknown_key_is_not_set(tiny: Workshop) -> None:
    result = call(tiny.root, "run", "index", "--set", "train.model.epoch=3")
    assert result.exit_code == 1
    assert 'unknown key "epoch"' in result.output
    assert 'Did you mean "epochs"' in result.output


def test_an_error_of_the_program_itself_is_named_with_its_cause(
    tiny: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the shelf is empty")

    monkeypatch.setattr("dp_assets.orchestration.assets.plates.read_index", broken)
    result = call(tiny.root, "run", "index")
    assert result.exit_code == 1
    assert "RuntimeError: the shelf is empty" in result.output
    assert "--verbose" in result.output
