"""Checks of training sets and models: no leakage between the splits, balanced classes, sane predictions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from dp_assets.config.checks import ChecksSettings
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import judged, picture, table
from dp_assets.storage.schemas import PLATE, SITE_KEY, WELL
from dp_assets.storage.tables import read_table
from dp_assets.training.training_set import TRAINING, VALIDATION

WELLS_APART = "wells_in_one_split"
IMAGES_APART = "images_in_one_split"
BALANCED = "classes_balanced"
SANE = "predictions_sane"
TRAINING_SET_CHECKS = (WELLS_APART, IMAGES_APART, BALANCED)
SUM_TOLERANCE = 0.01
"""Half precision adds up to 1 within this."""
LEAST_CELLS = 20
"""So few validation cells decide nothing about what a model predicts."""
SHOWN = 20


def leakage_checks(
    rules: ChecksSettings, cells: pa.Table, project: ProjectResource
) -> list[dg.AssetCheckResult]:
    """Whether no well, and no image, is in both splits.

    Parameters
    ----------
    cells : table of schema `training_set`.
    project : where the fingerprints of images lie. Read on the side: only crops are inputs of a training set.
    """
    return [wells_check(rules, cells), _images_check(rules, cells, project)]


def wells_check(rules: ChecksSettings, cells: pa.Table) -> dg.AssetCheckResult:
    """Whether no well has cells in both splits."""
    counts = cells.group_by([PLATE, WELL, "split"]).aggregate([([], "count_all")]).to_pylist()
    by_well: dict[tuple[str, str], dict[str, int]] = {}
    for row in counts:
        by_well.setdefault((row[PLATE], row[WELL]), {})[row["split"]] = row["count_all"]
    shared = {well: found for well, found in by_well.items() if len(found) > 1}
    rows = [
        {"plate": plate, "well": well, **{split: found[split] for split in (TRAINING, VALIDATION)}}
        for (plate, well), found in sorted(shared.items())
    ]
    return judged(
        rules,
        WELLS_APART,
        not shared,
        remedy="give whole wells to one split in train.partition: cells of one well look alike, so the "
        "validation seems better than it is. If the split is meant, write checks: severity: "
        "wells_in_one_split: warn in project.yaml",
        wells_in_both_splits=len(shared),
        wells=len(by_well),
        **_table(rows),
    )


def _images_check(rules: ChecksSettings, cells: pa.Table, project: ProjectResource) -> dg.AssetCheckResult:
    splits = cells.group_by([*SITE_KEY, "split"]).aggregate([]).to_pylist()
    by_content: dict[tuple[str, ...], list[dict[str, str]]] = {}
    unknown = []
    for plate in dict.fromkeys(row[PLATE] for row in splits):
        contents = _contents(plate, project)
        if contents is None:
            unknown.append(plate)
            continue
        for row in splits:
            content = contents.get(tuple(row[name] for name in SITE_KEY[1:])) if row[PLATE] == plate else None
            if content is not None:
                by_content.setdefault(content, []).append(row)
    shared = [rows for rows in by_content.values() if len({row["split"] for row in rows}) > 1]
    shown = [
        {
            split: ", ".join(_name(row) for row in rows if row["split"] == split)
            for split in (TRAINING, VALIDATION)
        }
        for rows in shared
    ]
    return judged(
        rules,
        IMAGES_APART,
        not shared,
        remedy="correct the image index: these rows name copies of the same images",
        images_in_both_splits=len(shared),
        plates_without_fingerprints=", ".join(unknown[:SHOWN]) or "none",
        **_table(shown),
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"shared": table(rows)} if rows else {}


def _name(row: Mapping[str, str]) -> str:
    return "/".join(row[name] for name in SITE_KEY)


def _contents(plate: str, project: ProjectResource) -> dict[tuple[str, ...], tuple[str, ...]] | None:
    """(well, site) -> content of all its images, in whatever order; None when it is not known."""
    try:
        images = read_table(
            project.path(("plate_images",), plate, ".parquet"), [*SITE_KEY, "fingerprint"]
        ).to_pylist()
    except FileNotFoundError:
        return None
    found: dict[tuple[str, ...], list[str]] = {}
    for row in images:
        found.setdefault(tuple(row[name] for name in SITE_KEY[1:]), []).append(row["fingerprint"] or "")
    return {key: tuple(sorted(prints)) for key, prints in found.items() if all(prints)}


def balance_check(rules: ChecksSettings, counts: Mapping[str, int]) -> dg.AssetCheckResult:
    """Whether the classes have training cells of the same order.

    Parameters
    ----------
    counts : class -> training cells.
    """
    from dp_assets.figures.named_bars import named_bars

    ordered = sorted(counts.items(), key=lambda item: item[1])
    smallest, largest = ordered[0][1], ordered[-1][1]
    ratio = largest / max(1, smallest)
    facts: dict[str, Any] = {}
    if ratio > rules.class_ratio:
        facts["fewest"] = table([{"class": name, "cells": count} for name, count in ordered])
        facts["cells"] = picture(
            named_bars(dict(ordered), "Training cells per class", "cells"), "cells per class"
        )
    return judged(
        rules,
        BALANCED,
        ratio <= rules.class_ratio,
        remedy="epochs are balanced, so the few cells of small classes are shown again and again: merge or "
        "leave out small classes, or add wells of them",
        ratio=round(ratio, 2),
        threshold=rules.class_ratio,
        smallest=f"{ordered[0][0]}: {smallest}",
        largest=f"{ordered[-1][0]}: {largest}",
        **facts,
    )


def predictions_check(rules: ChecksSettings, predictions: Mapping[str, Any] | None) -> dg.AssetCheckResult:
    """Whether class probabilities of validation cells are probabilities, and not all of one class.

    Parameters
    ----------
    predictions : see `training.class_predictions`; None where a model has none.
    """
    from dp_assets.figures.confusion import confusion_figure

    if predictions is None:
        return judged(rules, SANE, True, note="the model says no classes, or has no validation cells")
    predicted, cells = Counter(predictions["predicted"]), sum(predictions["predicted"].values())
    first, count = predicted.most_common(1)[0]
    share = count / max(1, cells)
    broken = predictions["not_finite"] > 0 or predictions["largest_sum_error"] > SUM_TOLERANCE
    # A class that most validation cells do have is rightly predicted for most.
    usual = predictions["true"][first] / max(1, cells)
    collapsed = cells >= LEAST_CELLS and share > rules.collapsed_share and usual <= rules.collapsed_share
    classes = sorted(predictions["true"], key=lambda name: -predicted[name])
    facts: dict[str, Any] = {
        "classes": table(
            [{"class": c, "true": predictions["true"][c], "predicted": predicted[c]} for c in classes]
        )
    }
    if (broken or collapsed) and "confusion" in predictions and cells:
        names = list(predictions["true"])
        counts = pd.DataFrame(predictions["confusion"], index=names, columns=names)
        facts["confusion"] = picture(confusion_figure(counts), "true and predicted classes")
    return judged(
        rules,
        SANE,
        not (broken or collapsed),
        mild=not broken,
        remedy=(
            "the network does not give probabilities: look at train.model and at its last layer"
            if broken
            else "the network says one class to nearly all cells: lower the learning rate, train longer, or "
            "look whether the crops show anything"
        ),
        cells=predictions["cells"],
        cells_without_probabilities=predictions["not_finite"],
        largest_sum_error=round(predictions["largest_sum_error"], 6),
        most_predicted=f"{first}: {share:.3f}",
        threshold=rules.collapsed_share,
        **facts,
    )
