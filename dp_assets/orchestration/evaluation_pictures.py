"""The figures of an evaluation, as far as its scores have something to show."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.profile_table import profile_set
from dp_assets.evaluation.score import Score, ScoreResult
from dp_assets.evaluation.scores_table import score_to_dict
from dp_assets.evaluation.scoring import score_named
from dp_assets.evaluation.similarity import cosine_similarity
from dp_assets.orchestration.evaluation_folder import FIGURES, Picture
from dp_assets.orchestration.map_pictures import LEVEL, draw_map, map_colourings
from dp_assets.storage.folders import Folder
from dp_assets.storage.profile_columns import CELL_COUNT, LABEL, TREATMENT
from dp_assets.storage.schemas import PLATE, WELL

BARS = "scores_figure"
MOST_BARS = 24
# Scores that count treatments or compare odds: 1 is not the most they can be.
COUNTS = ("first_hit_", "enrichment")
_WORDS = {True: "correct", False: "wrong"}


def evaluation_pictures(
    experiment: str, found: ScoreResult, tables: Mapping[str, Any], protocol: EvaluationProtocol
) -> list[Picture]:
    """The figures, in the order of the report.

    Parameters
    ----------
    experiment : its name, for legends.
    found : scores and their tables.
    tables : the experiment's `profiles`, `treatment_profiles` and `profile_map`.
    """
    parts: tuple[Callable[[], Iterator[Picture]], ...] = (
        lambda: _bars(experiment, found),
        lambda: _maps(found, tables["profile_map"]),
        lambda: _neighbours(found),
        lambda: _similarity(tables["treatment_profiles"]),
        lambda: _curves(experiment, found, protocol),
        lambda: _replicates(found),
        lambda: _doses(found),
        lambda: _probes(found),
        lambda: _plates(tables["profiles"]),
    )
    return [picture for part in parts for picture in part()]


def preview_of(folder: Folder, name: str) -> bytes | None:
    """A figure of a published evaluation; None when there was nothing to draw."""
    path = folder.path / FIGURES / f"{name}.png"
    return path.read_bytes() if path.exists() else None


def _bars(experiment: str, found: ScoreResult) -> Iterator[Picture]:
    from dp_assets.figures.score_bars import score_bars

    rated = shares_of(found.scores)
    if rated:
        png = score_bars({experiment: rated[:MOST_BARS]})
        yield Picture(
            BARS,
            "Scores between 0 and 1",
            "Lines are confidence intervals, marks what chance would give.",
            png,
        )


def shares_of(scores: Iterable[Score]) -> list[dict[str, Any]]:
    """The scores that lie between 0 and 1 by their nature, as the figure of scores takes them."""
    return [
        score_to_dict(score)
        for score in scores
        if 0 <= score.value <= 1 and "@" not in score.name and not score.name.startswith(COUNTS)
    ]


def _maps(found: ScoreResult, places: pa.Table) -> Iterator[Picture]:
    from dp_assets.figures.profile_map import profile_map_panels

    for level in ("treatment", "well"):
        rows = places.filter(pc.equal(places[LEVEL], level))
        if not rows.num_rows:
            continue
        by: dict[str, Any] = dict(map_colourings(rows, level))
        if level == "treatment":
            by |= _correctness(found, rows)
        yield Picture(
            f"{level}s_umap", f"{level.title()}s, UMAP", "Cosine distance.", draw_map(rows, "UMAP", by)
        )
        if level == "treatment":
            yield Picture(
                "treatments_tsne", "Treatments, t-SNE", "Cosine distance.", draw_map(rows, "t-SNE", by)
            )
            labels = rows[LABEL].to_pylist()
            if len(set(filter(None, labels))) > 1:
                umap = np.stack([rows["umap_1"].to_numpy(), rows["umap_2"].to_numpy()], axis=1)
                png = profile_map_panels(umap, labels, "UMAP of treatments, label by label")
                yield Picture("labels_umap", "Treatments, one panel per label", "UMAP.", png)


def _correctness(found: ScoreResult, rows: pa.Table) -> dict[str, list[str]]:
    """Whether the nearest neighbour has the right label, for every score that says so."""
    table = found.tables.get("treatments")
    if table is None:
        return {}
    by_treatment = table.set_index("treatment")
    names = rows[TREATMENT].to_pylist()
    shown = {}
    for score in ("nsc", "nscb", "nscb_strict"):
        if score_named(found.scores, score) is None or score not in by_treatment:
            continue
        flags = by_treatment[score].to_dict()
        words = [
            "not scored" if pd.isna(flags.get(name, pd.NA)) else _WORDS[bool(flags[name])] for name in names
        ]
        if set(words) != {"not scored"}:
            shown[score] = words
    return shown


def _neighbours(found: ScoreResult) -> Iterator[Picture]:
    from dp_assets.figures.confusion import confusion_figure

    for score in ("nsc", "nscb"):
        counts = found.tables.get(f"confusion_{score}")
        if counts is not None and len(counts):
            png = confusion_figure(counts, f"{score.upper()}: true and predicted labels")
            yield Picture(
                f"confusion_{score}", f"{score.upper()}, label by label", "Rows are true labels.", png
            )


def _similarity(table: pa.Table) -> Iterator[Picture]:
    from dp_assets.figures.similarity_clustermap import similarity_clustermap

    treatments = profile_set(table, "treatment")
    if len(treatments) > 1:
        png = similarity_clustermap(
            cosine_similarity(treatments.features),
            treatments.treatments.tolist(),
            treatments.labels.tolist(),
            "Similarity of treatments",
        )
        yield Picture("similarity", "Similarity of treatments", "Cosine, clustered by average linkage.", png)


def _curves(experiment: str, found: ScoreResult, protocol: EvaluationProtocol) -> Iterator[Picture]:
    from dp_assets.figures.odds_ratios import odds_ratio_figure
    from dp_assets.figures.score_curves import enrichment_figure, precision_recall_figure

    precision, enriched = (found.tables.get(f"{name}_curve") for name in ("precision_recall", "enrichment"))
    if precision is not None and len(precision):
        yield Picture(
            "precision_recall",
            "Precision and recall",
            "Interpolated, mean over queries.",
            precision_recall_figure({experiment: precision}),
        )
    if enriched is not None and len(enriched):
        marked = 100 - protocol.settings.top_percentile
        yield Picture(
            "enrichment",
            "Enrichment",
            "Mean odds ratio of sharing a label among the nearest.",
            enrichment_figure({experiment: enriched}, marked=marked),
        )
    queries = found.tables.get("enrichment")
    if queries is not None and "odds_ratio" in queries and len(queries):
        png = odds_ratio_figure({experiment: queries["odds_ratio"].to_numpy(float)})
        yield Picture("odds_ratios", "Enrichment of every query", "Logarithm of 1 + odds ratio.", png)


def _replicates(found: ScoreResult) -> Iterator[Picture]:
    from dp_assets.figures.replicate_null import replicate_null_figure

    replicates, null = found.tables.get("replicates"), found.tables.get("replicate_null")
    strength = score_named(found.scores, "replicate_strength")
    if replicates is None or null is None or strength is None or not len(replicates):
        return
    png = replicate_null_figure(
        replicates["correlation"].to_numpy(float),
        null.iloc[:, 0].to_numpy(float),
        float(strength.details.get("threshold", np.nan)),
    )
    yield Picture(
        "replicates",
        "Do replicates agree?",
        "Median correlation of a treatment's wells, and of wells drawn at random.",
        png,
    )


def _probes(found: ScoreResult) -> Iterator[Picture]:
    from dp_assets.figures.probe_bars import probe_bars

    for name, table in found.tables.items():
        if name.startswith("probe") and "class" in table and len(table):
            yield Picture(name, "Label probes", "Recall of every label.", probe_bars(table))


def _doses(found: ScoreResult) -> Iterator[Picture]:
    from dp_assets.figures.dose_activity import dose_activity_figure

    activity = found.tables.get("activity")
    if activity is None or not len(activity):
        return
    doses = pd.to_numeric(activity["concentration"], errors="coerce")
    several = activity[doses > 0].groupby("compound")["concentration"].nunique().max()
    if several and several > 2:
        yield Picture(
            "dose_activity",
            "Activity by dose",
            "Mean average precision of a dose's wells against the controls.",
            dose_activity_figure(
                activity["compound"].to_numpy(),
                doses.to_numpy(float),
                activity["mean_average_precision"].to_numpy(float),
                significant=activity["significant"].to_numpy(bool),
                unit="as in the index",
            ),
        )


def _plates(profiles: pa.Table) -> Iterator[Picture]:
    from dp_assets.figures.plate_grid import plate_categories, plate_heatmaps

    plates, wells = profiles[PLATE].to_pylist(), profiles[WELL].to_pylist()
    treatments: dict[str, dict[str, str]] = {}
    for plate, well, name in zip(plates, wells, profiles[TREATMENT].to_pylist(), strict=True):
        treatments.setdefault(plate, {})[well] = name
    yield Picture("plate_layout", "Treatments on plates", "", plate_categories(treatments, "Treatments"))
    if CELL_COUNT not in profiles.column_names:
        return
    counts: dict[str, dict[str, float]] = {}
    for plate, well, count in zip(plates, wells, profiles[CELL_COUNT].to_pylist(), strict=True):
        if count:
            counts.setdefault(plate, {})[well] = float(count)
    if counts:
        png = plate_heatmaps(counts, "Cells per well", "cells")
        yield Picture("cell_counts", "Cells per well", "Cells that went into each profile.", png)
