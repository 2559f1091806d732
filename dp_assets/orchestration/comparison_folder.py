"""The folder that compares experiments: scores side by side, curves overlaid, and a report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dp_assets.evaluation.score import Score
from dp_assets.evaluation.scores_table import score_to_dict, scores_to_frame
from dp_assets.evaluation.scoring import score_named
from dp_assets.orchestration.evaluation_folder import FIGURES, Picture, read_score_table, read_scores
from dp_assets.orchestration.evaluation_pictures import shares_of
from dp_assets.storage.folders import Folder, FolderWriter

REPORT, SCORES_TABLE = "comparison.html", "scores.csv"
HIT_LEVELS = ("treatment", "well", "site", "cell")


def comparison_writer(
    evaluations: Mapping[str, Folder], absent: Sequence[str], made_from: str
) -> FolderWriter:
    """What fills the folder.

    Parameters
    ----------
    evaluations : experiment -> its published evaluation.
    absent : experiments that have none.
    made_from : fingerprint of the evaluations.
    """

    def fill(folder: Path) -> None:
        from dp_assets.figures.comparison_report import comparison_report

        scores = {name: read_scores(found) for name, found in evaluations.items()}
        frames = [scores_to_frame(found).assign(experiment=name) for name, found in scores.items()]
        table = pd.concat(frames) if frames else pd.DataFrame()
        table.to_csv(folder / SCORES_TABLE, index=False)
        (folder / FIGURES).mkdir()
        pictures = comparison_pictures(evaluations)
        for picture in pictures:
            (folder / FIGURES / f"{picture.name}.png").write_bytes(picture.png)
        report = comparison_report(
            {name: [score_to_dict(score) for score in found] for name, found in scores.items()},
            [(picture.heading, picture.caption, picture.png) for picture in pictures],
            {"experiments": ", ".join(evaluations), "not evaluated": ", ".join(absent) or "none"},
        )
        (folder / REPORT).write_bytes(report)

    return FolderWriter(made_from, {"experiments": list(evaluations), "not_evaluated": list(absent)}, fill)


def comparison_pictures(evaluations: Mapping[str, Folder]) -> list[Picture]:
    """Curves of all experiments in one figure each, as far as they have them."""
    from dp_assets.figures.first_hits import first_hit_bars
    from dp_assets.figures.odds_ratios import odds_ratio_figure
    from dp_assets.figures.score_bars import score_bars
    from dp_assets.figures.score_curves import enrichment_figure, precision_recall_figure
    from dp_assets.figures.score_scatter import score_scatter

    scores = {name: read_scores(found) for name, found in evaluations.items()}
    pictures = []
    rated = {name: shares_of(found) for name, found in scores.items()}
    if any(rated.values()):
        pictures.append(Picture("scores", "Scores between 0 and 1", "", score_bars(rated)))
    if curves := _tables(evaluations, "precision_recall_curve"):
        png = precision_recall_figure(curves)
        pictures.append(Picture("precision_recall", "Precision and recall", "", png))
    if curves := _tables(evaluations, "enrichment_curve"):
        pictures.append(Picture("enrichment", "Enrichment", "", enrichment_figure(curves)))
    if queries := _tables(evaluations, "enrichment"):
        ratios = {name: table["odds_ratio"].to_numpy(float) for name, table in queries.items()}
        png = odds_ratio_figure(ratios)
        pictures.append(Picture("odds_ratios", "Enrichment of every query", "", png))
    across, up = (_intervals(scores, name) for name in ("enrichment", "map"))
    if len(set(across) & set(up)) > 1:
        png = score_scatter(across, up, ("folds of enrichment", "mAP"))
        pictures.append(Picture("map_and_enrichment", "mAP and enrichment", "", png))
    if hits := {name: _hits(found) for name, found in scores.items() if _hits(found)}:
        pictures.append(Picture("first_hits", "First hits", "", first_hit_bars(hits)))
    return pictures


def _tables(evaluations: Mapping[str, Folder], name: str) -> dict[str, pd.DataFrame]:
    read = {experiment: read_score_table(folder, name) for experiment, folder in evaluations.items()}
    return {experiment: table for experiment, table in read.items() if table is not None and len(table)}


def _intervals(scores: Mapping[str, Sequence[Score]], name: str) -> dict[str, tuple[float, float, float]]:
    found = {experiment: score_named(tuple(of_one), name) for experiment, of_one in scores.items()}
    return {
        experiment: (score.value, score.low, score.high)
        for experiment, score in found.items()
        if score is not None and np.isfinite(score.value)
    }


def _hits(scores: Sequence[Score]) -> dict[str, tuple[int, int]]:
    named = {level: score_named(tuple(scores), f"first_hit_{level}") for level in HIT_LEVELS}
    return {
        level: (int(score.value), score.n)
        for level, score in named.items()
        if score is not None and np.isfinite(score.value)
    }
