"""The folder of an evaluation: scores, tables, figures and the report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from upath import UPath

from dp_assets.config.errors import StoreError
from dp_assets.evaluation.score import Score
from dp_assets.evaluation.scores_table import score_to_dict, scores_from_json, scores_to_frame, scores_to_json
from dp_assets.storage.folders import Folder, FolderWriter

VERSION = "1"
SCORES, SCORES_TABLE, REPORT = "scores.json", "scores.csv", "evaluation.html"
TABLES, FIGURES = "tables", "figures"
# Columns of the tables that name things.
TEXTS = (
    *("treatment", "compound", "concentration", "label", "plate", "well", "site", "batch", "class"),
    *("true", "predicted", "neighbour", "neighbour_compound"),
)


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Attributes
    ----------
    name : of its file, without ending.
    heading, caption : in the report.
    png : its bytes.
    """

    name: str
    heading: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Evaluation:
    """Everything that is published of an evaluation.

    Attributes
    ----------
    experiment : its name.
    scores, tables : see `ScoreResult`.
    pictures : in the order of the report.
    facts : what is said of the profiles.
    """

    experiment: str
    scores: Sequence[Score]
    tables: Mapping[str, pd.DataFrame]
    pictures: Sequence[Picture]
    facts: Mapping[str, str]


def evaluation_writer(made: Evaluation, made_from: str) -> FolderWriter:
    """What fills the folder.

    Parameters
    ----------
    made_from : fingerprint of the profiles and settings.
    """

    def fill(folder: Path) -> None:
        from dp_assets.figures.evaluation_report import evaluation_report

        (folder / SCORES).write_text(scores_to_json(made.scores), encoding="utf-8")
        scores_to_frame(made.scores).to_csv(folder / SCORES_TABLE, index=False)
        for place in (TABLES, FIGURES):
            (folder / place).mkdir()
        for name, table in made.tables.items():
            table.to_csv(folder / TABLES / f"{name}.csv", index=not isinstance(table.index, pd.RangeIndex))
        for picture in made.pictures:
            (folder / FIGURES / f"{picture.name}.png").write_bytes(picture.png)
        report = evaluation_report(
            made.experiment,
            [score_to_dict(score) for score in made.scores],
            [(picture.heading, picture.caption, picture.png) for picture in made.pictures],
            [(name, table) for name, table in made.tables.items()],
            made.facts,
        )
        (folder / REPORT).write_bytes(report)

    values = {score.name: score.value for score in made.scores if math.isfinite(score.value)}
    reasons = {score.name: score.reason for score in made.scores if not math.isfinite(score.value)}
    return FolderWriter(
        made_from, {"experiment": made.experiment, "scores": values, "not_applicable": reasons}, fill
    )


def read_scores(folder: Folder) -> list[Score]:
    """The scores of a published evaluation. Raises StoreError when they are damaged or not there."""
    path = folder.path / SCORES
    try:
        return scores_from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(path, error) from error


def read_score_table(folder: Folder, name: str) -> pd.DataFrame | None:
    """A table of a published evaluation; None when it has none of that name.

    Names of treatments and labels are text as they were written, "NA" and "01" too.

    Raises
    ------
    StoreError : the table is damaged.
    """
    path = folder.path / TABLES / f"{name}.csv"
    if not path.exists():
        return None
    try:
        with path.open("rb") as stream:
            return pd.read_csv(stream, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path | UPath, error: Exception) -> StoreError:
    return StoreError(
        f"this part of the evaluation cannot be read: {error}",
        where=str(path),
        remedy="delete the folder `evaluation` and run the stage `evaluate` again",
    )
