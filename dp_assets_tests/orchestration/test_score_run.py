"""Which experiments of a scoring project are evaluated, and what is shown when one fails."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from dp_assets.evaluation.score import Score
from dp_assets.evaluation.scores_table import scores_to_json
from dp_assets.orchestration import score_run
from dp_assets.orchestration.scoring_project import write_scoring_project
from dp_assets.orchestration.scoring_request import ScoreRequest
from dp_assets.orchestration.stage_runner import StageOutcome
from dp_assets.storage.folders import FolderWriter, publish_folder
from dp_assets.storage.tables import with_provenance
from dp_assets_tests.interchange.made_profiles import made_treatments, made_wells

LANES = ("zscore", "tvn")


class Bench:
    """A scoring project whose runs are made up: they publish the scores of the lanes that do not fail."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root / "scored"
        self.table = root / "wells.csv"
        self.annotation = root / "moa.csv"
        for path in (self.table, self.annotation):
            path.write_text("Metadata_Plate,Metadata_Well\nP,A01\n")
        self.fails: set[str] = set()
        self.ran: list[str] = []
        monkeypatch.setattr(score_run, "run_stages", self._run_stages)
        monkeypatch.setattr(score_run, "_compare", self._compare)

    def score(self, force: bool = False, **changes: Any) -> tuple[bool, list[str], str]:
        """What `run_scores` returns, what it ran, and what it printed."""
        request = {"preset": "bbbc021", "annotations": (self.annotation,), "variants": LANES, **changes}
        lanes = write_scoring_project(self.root, ScoreRequest((self.table,), **request))
        self.ran = []
        console = Console(file=io.StringIO(), width=200)
        succeeded = score_run.run_scores(self.root, lanes, force=force, verbose=False, console=console)
        return succeeded, self.ran, console.file.getvalue()  # type: ignore[attr-defined]

    def _run_stages(
        self, root: Path, stages: Sequence[str], plates: None, lanes: tuple[str], **_: Any
    ) -> list[StageOutcome]:
        assert (root, stages, plates) == (self.root, ["evaluate"], None)
        self.ran += lanes
        (lane,) = lanes
        if lane in self.fails:
            return [StageOutcome("evaluate", None, False, 0.0)]
        folder = root / "outputs" / lane
        folder.mkdir(parents=True, exist_ok=True)
        left_out = {"left_out": {"no label": 7}, "correction": {"warnings": [f"lambda of {lane} is small"]}}
        pq.write_table(with_provenance(made_wells(), **left_out), folder / "profiles.parquet")
        pq.write_table(made_treatments(), folder / "treatment_profiles.parquet")
        scores = scores_to_json([Score("nsc", 0.5, 2, "treatments", "p")])
        publish_folder(
            folder / "evaluation",
            FolderWriter("made", {}, lambda place: _write(place / "scores.json", scores)),
        )
        return [StageOutcome("evaluate", None, True, 0.0)]

    def _compare(self, *_: object, **__: object) -> bool:
        self.ran.append("comparison")
        publish_folder(self.root / "outputs" / "comparison", FolderWriter("made", {}, lambda _: None))
        return "comparison" not in self.fails


def _write(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_everything_is_evaluated_and_compared_once(bench: Bench) -> None:
    succeeded, ran, text = bench.score()
    assert succeeded
    assert ran == ["zscore", "tvn", "comparison"]
    assert "comparison.html" in text
    assert bench.score()[:2] == (True, [])
    assert bench.score(force=True)[:2] == (True, ["zscore", "tvn", "comparison"])


def test_what_was_left_out_before_is_said_and_what_differs_is_said_of_whom(bench: Bench) -> None:
    text = bench.score()[2]
    for lane in LANES:
        assert (
            f"{lane}: 12 wells, 2 treatments, 8 features; left out before: no label: 7; "
            f"lambda of {lane} is small" in text
        )


def test_other_settings_concern_their_experiments(bench: Bench) -> None:
    bench.score()
    assert bench.score(regularization=0.5)[1] == ["tvn", "comparison"]
    assert bench.score(regularization=0.5, treatment_aggregation="median")[1] == [*LANES, "comparison"]


@pytest.mark.parametrize("name", ["table", "annotation"])
def test_another_content_of_a_file_concerns_all(bench: Bench, name: str) -> None:
    bench.score()
    path: Path = getattr(bench, name)
    path.touch()
    assert bench.score()[1] == []
    path.write_text(path.read_text() + "P,A02\n")
    assert bench.score()[1] == [*LANES, "comparison"]


def test_an_evaluation_that_is_gone_is_made_again(bench: Bench) -> None:
    bench.score()
    (bench.root / "outputs/zscore/evaluation/MANIFEST.json").unlink()
    assert bench.score()[1] == ["zscore", "comparison"]


def test_an_experiment_that_fails_is_named_and_what_it_had_is_not_shown(bench: Bench) -> None:
    bench.score()
    bench.fails = {"tvn"}
    bench.table.write_text("Metadata_Plate,Metadata_Well\nP,A02\n")
    succeeded, ran, text = bench.score()
    assert not succeeded
    assert ran == ["zscore", "tvn"], "a comparison would show what is old"
    assert "could not be scored: tvn" in text
    assert "--set KEY=VALUE" in text
    header = next(line for line in text.splitlines() if line.split()[:1] == ["score"])
    assert header.split() == ["score", "n", "zscore"]
    assert "comparison.html" not in text
    assert bench.score()[1] == ["tvn"], "it is tried again, and the other one is not"
    bench.table.write_text("Metadata_Plate,Metadata_Well\nP,A01\n")
    assert bench.score()[1] == [*LANES], "its results of the former table may be half made"


def test_a_comparison_that_fails_is_no_success(bench: Bench) -> None:
    bench.fails = {"comparison"}
    succeeded, _, text = bench.score()
    assert not succeeded
    assert "nsc" in text


def test_one_variant_is_not_compared(bench: Bench) -> None:
    succeeded, ran, text = bench.score(variants=("zscore",))
    assert (succeeded, ran) == (True, ["zscore"])
    assert "comparison" not in text
