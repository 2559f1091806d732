"""`dp-assets score`: what its options mean, where it works, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dp_assets.cli import main


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with some name in the folder of the caller."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "plates.v1.csv"
    path.write_text("Metadata_Plate,Metadata_Well\n")
    return path


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Projects that were to be run; nothing is."""
    found: list[dict[str, Any]] = []

    def run_scores(root: Path, lanes: list[str], **options: Any) -> bool:
        found.append({"root": root, "lanes": lanes, **options})
        return "tvn" in lanes

    monkeypatch.setattr("dp_assets.orchestration.score_run.run_scores", run_scores)
    return found


def score(*arguments: str, before: tuple[str, ...] = ()) -> Result:
    return CliRunner().invoke(main, [*before, "score", *arguments], catch_exceptions=False)


def experiment(root: Path, name: str) -> dict[str, Any]:
    return json.loads((root / "inputs/config" / f"{name}.json").read_text())


def test_a_published_set_needs_nothing_but_its_name(table: Path, runs: list, tmp_path: Path) -> None:
    result = score("plates.v1.csv", "--preset", "bbbc021")
    assert result.exit_code == 0, result.output
    root = tmp_path / "scores" / "plates"
    assert [(run["root"], run["lanes"]) for run in runs] == [(root, ["zscore", "whitening", "tvn"])]
    assert str(root) in result.output
    assert experiment(root, "tvn")["features"]["files"] == [str(table)]


def test_options_reach_the_experiments(table: Path, runs: list, tmp_path: Path) -> None:
    moa = tmp_path / "moa.csv"
    moa.write_text("a\n")
    options = {
        "--annotations": "moa.csv",
        "--control": "Compound=DMSO, water",
        "--label": "Target",
        "--compound": "Compound",
        "--batch": "Week",
        "--normalization": "mad_robustize",
        "--correction": "tvn",
        "--lambda": "0.25",
        "--treatment-aggregation": "median",
        "--set": "features.level=site",
        "--project": "mine",
    }
    arguments = [text for pair in options.items() for text in pair]
    result = score(*arguments, "--treatment", "Compound", "--treatment", "Dose", "--force", str(table))
    assert result.exit_code == 1, "the run said that something failed"
    assert runs[0]["root"] == tmp_path / "mine"
    assert runs[0]["force"] is True
    assert experiment(tmp_path / "mine", "mad_robustize_tvn") == {
        "features": {"files": [str(table)], "level": "site"},
        "profiles": {
            "preset": "custom",
            "annotations": [str(moa)],
            "treatment_fields": ["Compound", "Dose"],
            "treatment_aggregation": "median",
            "treatment_source": "well",
            "control_field": "Compound",
            "control_values": ["DMSO", "water"],
            "normalization": {"method": "mad_robustize", "by": "plate", "reference": "controls"},
            "correction": {"method": "tvn", "level": "well", "regularization": 0.25, "batch_field": "Week"},
        },
        "evaluation": {"label_field": "Target", "compound_field": "Compound"},
    }


def test_the_project_may_be_named_before_the_command_and_the_environment_does_not_count(
    table: Path, runs: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DP_PROJECT", str(tmp_path / "other_work"))
    assert score(str(table), "--preset", "bbbc021").exit_code == 0
    assert runs[-1]["root"] == tmp_path / "scores" / "plates"
    before = ("--project", str(tmp_path / "here"))
    assert score(str(table), "--preset", "bbbc021", before=before).exit_code == 0
    assert runs[-1]["root"] == tmp_path / "here"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "needs control wells"),
        (("--control", "DMSO"), "'DMSO' names no column and value"),
        (("--control", "Compound="), "'Compound=' names no column and value"),
        (("--preset", "bbbc021", "--variant", "zscore", "--lambda", "1"), "lambda has no meaning"),
        (("--preset", "bbbc021", "--set", "evaluation.metrics=[nonsense]"), "nonsense"),
    ],
)
def test_a_mistake_is_said_with_a_remedy_before_anything_is_written(
    table: Path, runs: list, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    result = score(str(table), *arguments)
    assert result.exit_code == 1
    assert says in " ".join(result.stderr.split())
    assert "->" in result.stderr
    assert runs == []
    assert not (tmp_path / "scores").exists()


def test_a_table_that_is_not_there_is_said(table: Path, runs: list) -> None:
    result = score("nothing.csv", "--preset", "bbbc021")
    assert result.exit_code == 2
    assert "nothing.csv" in result.stderr


def test_a_project_of_other_work_is_refused(table: Path, runs: list, tmp_path: Path) -> None:
    (tmp_path / "work" / "inputs").mkdir(parents=True)
    result = score(str(table), "--preset", "bbbc021", "--project", "work")
    assert result.exit_code == 1
    assert "`dp-assets score` did not make" in result.stderr
    assert runs == []
