"""Accuracy of a network whose features are its class probabilities, over all plates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.class_probabilities import ClassProbabilityScores, looks_like_probabilities
from dp_assets.evaluation.score import ScoreResult, not_applicable
from dp_assets.storage.schemas import CELL_KEY, SITE, WELL
from dp_assets.storage.tables import StoredTable

Progress = Callable[[int, int], None]
_PROTOCOL = "argmax of class probabilities"
_TRAINED_ON = "cells of images that the model was trained on"


@dataclass(frozen=True)
class TrainingImages:
    """Which images a model was trained on: those with one of `values` in the annotation `column`."""

    column: str
    values: tuple[str, ...]


def class_scores(
    features: Mapping[str, StoredTable],
    annotations: Mapping[str, pa.Table],
    column: str,
    classes: tuple[str, ...],
    protocol: EvaluationProtocol,
    *,
    training: TrainingImages | None = None,
    progress: Progress = lambda *_: None,
) -> ScoreResult:
    """Hold the most probable class of cells, sites and wells against what was done to them.

    Images that the model was trained on are left out: it knows their cells by heart. Memory holds one row
    group of cells.

    Parameters
    ----------
    features : plate -> table of schema `cell_features`.
    annotations : plate -> table of schema `plate_annotations`.
    column : the column of the annotations with the true class.
    classes : names of the classes in the order of the features; empty when the model does not say.
    training : the images that the model was trained on; None where that is not known.
    """
    if len(classes) < 2:
        return _refused("the model does not say which classes its outputs are")
    scores = ClassProbabilityScores(classes)
    seen = 0
    for number, plate in enumerate(sorted(features)):
        names = [name for name in features[plate].schema().names if name not in CELL_KEY]
        if len(names) != len(classes):
            return _refused(f"there are {len(names)} features, but the model has {len(classes)} classes")
        truth = _values(annotations[plate], column)
        if truth is None:
            return _refused(f"the annotations have no column {column}")
        split = {} if training is None else _values(annotations[plate], training.column) or {}
        for group in features[plate].row_groups():
            values = np.stack([group[name].to_numpy() for name in names], axis=1)
            if len(values) and not looks_like_probabilities(values):
                return _refused(
                    "the features are no class probabilities (feature_layer is not the last layer)"
                )
            wells, sites = group[WELL].to_pylist(), group[SITE].to_pylist()
            keys = list(zip(wells, sites, strict=True))
            new = np.array([training is None or split.get(key) not in training.values for key in keys], bool)
            seen += int((~new).sum())
            scores.add(
                plate,
                np.array(wells, object)[new],
                np.array(sites, object)[new],
                values[new],
                np.array([truth.get(key, "") for key in keys], object)[new],
            )
        progress(number + 1, len(features))
    return _with_seen(scores.result(protocol), seen)


def _with_seen(result: ScoreResult, seen: int) -> ScoreResult:
    """The result, which says how many cells it left out because the model was trained on them."""
    if not seen:
        return result
    scores = [
        replace(
            score,
            excluded={_TRAINED_ON: seen, **score.excluded},
            reason=score.reason and f"{score.reason} ({_TRAINED_ON}: {seen})",
        )
        for score in result.scores
    ]
    return ScoreResult(tuple(scores), result.tables)


def _values(annotations: pa.Table, column: str) -> dict[tuple[str, str], str] | None:
    if column not in annotations.column_names:
        return None
    keys = zip(annotations[WELL].to_pylist(), annotations[SITE].to_pylist(), strict=True)
    return dict(zip(keys, (value or "" for value in annotations[column].to_pylist()), strict=True))


def _refused(reason: str) -> ScoreResult:
    return ScoreResult(
        tuple(
            not_applicable(f"accuracy_{unit}", unit, _PROTOCOL, reason)
            for unit in ("cells", "sites", "wells")
        )
    )
