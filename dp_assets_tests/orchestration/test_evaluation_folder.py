"""What is read back of a published evaluation."""

import json
from pathlib import Path

import pandas as pd
import pytest
from upath import UPath

from dp_assets.config.errors import StoreError
from dp_assets.evaluation.score import Score
from dp_assets.orchestration.evaluation_folder import (
    Evaluation,
    evaluation_writer,
    read_score_table,
    read_scores,
)
from dp_assets.storage.folders import Folder, publish_folder

TABLE = pd.DataFrame(
    {
        "treatment": ["NA", "01", "None", "c1"],
        "label": ["", "1", "nan", "2"],
        "concentration": ["0.10", "", "3", "10"],
        "correct": [True, False, None, True],
        "distance": [0.5, float("nan"), 0.25, 1.0],
    }
)


def published(place: Path | UPath) -> Folder:
    """An evaluation with one score and one table."""
    score = Score(
        name="nsc",
        value=0.5,
        low=0.2,
        high=0.8,
        n=4,
        unit="treatments",
        protocol="one",
        excluded={},
        details={},
    )
    made = Evaluation("cnn", [score], {"treatments": TABLE}, [], {})
    return publish_folder(place, evaluation_writer(made, "made from"))


@pytest.mark.parametrize("remote", [False, True])
def test_names_come_back_as_they_were_written(tmp_path: Path, remote: bool) -> None:
    folder = published(UPath("memory://evaluations/cnn") if remote else tmp_path / "evaluation")
    table = read_score_table(folder, "treatments")
    assert table is not None
    assert table["treatment"].tolist() == ["NA", "01", "None", "c1"]
    assert table["label"].fillna("").tolist() == ["", "1", "nan", "2"]
    assert table["concentration"].fillna("").tolist() == ["0.10", "", "3", "10"]
    assert table["distance"].isna().tolist() == [False, True, False, False]
    assert table["correct"].isna().tolist() == [False, False, True, False]
    assert read_scores(folder)[0].value == 0.5
    assert read_score_table(folder, "other") is None


@pytest.mark.parametrize("content", [None, "", "[{", "[{}]", '{"a": 1}'])
def test_damaged_scores_say_where_and_what_to_do(tmp_path: Path, content: str | None) -> None:
    folder = published(tmp_path / "evaluation")
    path = tmp_path / "evaluation" / "scores.json"
    path.unlink()
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(StoreError, match="delete the folder") as caught:
        read_scores(folder)
    assert str(path) in str(caught.value)


def test_a_damaged_table_says_where_and_what_to_do(tmp_path: Path) -> None:
    folder = published(tmp_path / "evaluation")
    (tmp_path / "evaluation" / "tables" / "treatments.csv").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match=r"treatments\.csv"):
        read_score_table(folder, "treatments")


def test_the_manifest_holds_no_nan(tmp_path: Path) -> None:
    folder = published(tmp_path / "evaluation")
    json.dumps(folder.manifest, allow_nan=False)
    assert folder.manifest["scores"] == {"nsc": 0.5}
