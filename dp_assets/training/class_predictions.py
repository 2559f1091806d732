"""What a trained network says to cells that it has not learnt from."""

from typing import Any

import keras
import numpy as np

from dp_assets.training.cells import LabelledCells
from dp_assets.training.normalized_crops import normalized

MOST_CELLS = 1000
MOST_CLASSES = 40


def class_predictions(
    network: keras.Model, cells: LabelledCells, classes: tuple[str, ...], batch_size: int
) -> dict[str, Any] | None:
    """Count predicted classes of the first head, on up to 1,000 cells spread evenly over all.

    Parameters
    ----------
    network : from normalised crops to class probabilities.
    cells : with their classes.
    classes : names of the classes of the first head.
    batch_size : cells that go through the network at once.

    Returns
    -------
    JSON-able: `cells`; `not_finite`, cells with a probability that is no number; `largest_sum_error`, how far
    the probabilities of a cell are from adding up to 1 (of the others); `true` and `predicted` ({class:
    cells}, of the others); with up to 40 classes `confusion`, counts by true and predicted class. None where
    the network does not say classes, or there are no cells.
    """
    outputs = network.outputs[0]
    if not len(cells) or len(outputs.shape) != 2 or outputs.shape[-1] != len(classes):
        return None
    rows = np.unique(np.linspace(0, len(cells) - 1, min(len(cells), MOST_CELLS)).astype(np.int64))
    crops = normalized(cells.crops)
    said = np.concatenate(
        [
            _first_head(network(crops.read(rows[start : start + batch_size]), training=False))
            for start in range(0, len(rows), batch_size)
        ]
    )
    finite = np.isfinite(said).all(axis=1)
    true, said = cells.first_labels[rows][finite], said[finite].astype(np.float64)
    predicted = said.argmax(axis=1)
    count = len(classes)
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (true, predicted), 1)
    facts: dict[str, Any] = {
        "cells": len(rows),
        "not_finite": int((~finite).sum()),
        "largest_sum_error": float(np.abs(said.sum(axis=1) - 1).max(initial=0)),
        "true": dict(zip(classes, confusion.sum(axis=1).tolist(), strict=True)),
        "predicted": dict(zip(classes, confusion.sum(axis=0).tolist(), strict=True)),
    }
    if count <= MOST_CLASSES:
        facts["confusion"] = confusion.tolist()
    return facts


def _first_head(outputs: Any) -> np.ndarray:
    first = next(iter(outputs.values())) if isinstance(outputs, dict) else outputs
    first = first[0] if isinstance(first, list | tuple) else first
    return np.asarray(keras.ops.convert_to_numpy(first))
