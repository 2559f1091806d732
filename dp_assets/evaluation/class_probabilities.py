"""Accuracy where the features of cells are class probabilities: per cell, per site and per well."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.bootstrap import paired_interval
from dp_assets.evaluation.score import Score, ScoreResult, not_applicable

_LEVELS = ("cell", "site", "well")
_NOT_FINITE = "cells with probabilities that are not finite"
_NO_LABEL = "cells without a label"
_UNKNOWN = "cells whose label is not a class of the model"
_SEVERAL = "wells with cells of several labels"


def looks_like_probabilities(features: np.ndarray) -> bool:
    """Whether rows are probabilities of at least two classes: not negative, with a sum of 1 within 0.001.

    Parameters
    ----------
    features : (cells, features); rows that are not finite are passed over. False if no row is left.
    """
    usable = features[np.isfinite(features).all(axis=1)]
    if not len(usable) or usable.shape[1] < 2:
        return False
    sums = usable.sum(axis=1, dtype=np.float64)
    return bool((usable >= 0).all() and (np.abs(sums - 1) <= 1e-3).all())


@dataclass
class _Group:
    """What is known of a site or a well so far."""

    label: int
    total: np.ndarray
    cells: int = 0
    correct: int = 0


class ClassProbabilityScores:
    """Adds up the cells of an experiment piece by piece; a site and a well are held as one sum each.

    Source: single-cell classifier analysis of the DeepProfiler papers.

    Parameters
    ----------
    classes : names of the classes, in the order of the probabilities.

    Raises
    ------
    ValueError : fewer than two classes, or a name twice.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        if len(classes) < 2 or len(set(classes)) < len(classes):
            raise ValueError(f"Expected two or more different classes. Received {list(classes)}.")
        self.classes = tuple(classes)
        self._numbers = {name: number for number, name in enumerate(self.classes)}
        self._confusion = np.zeros((len(classes), len(classes)), np.int64)
        self._sites: dict[tuple[str, str, str], _Group] = {}
        self._wells: dict[tuple[str, str], _Group] = {}
        self._several: set[tuple[str, str]] = set()
        self._excluded: dict[str, int] = {}

    def add(
        self,
        plate: str,
        wells: np.ndarray,
        sites: np.ndarray,
        probabilities: np.ndarray,
        labels: np.ndarray,
    ) -> None:
        """Cells of one plate, in any order; the cells of a site or a well may come in several pieces.

        Parameters
        ----------
        plate : its name.
        wells, sites : (cells,) str.
        probabilities : (cells, classes) float.
        labels : (cells,) str, the true class; "" where it is not known.

        Raises
        ------
        ValueError : another number of probabilities than of classes.
        """
        if probabilities.ndim != 2 or probabilities.shape[1] != len(self.classes):
            raise ValueError(
                f"Expected {len(self.classes)} probabilities per cell. Received shape {probabilities.shape}."
            )
        true = np.array([self._numbers.get(label, -1) for label in labels], np.int64)
        finite = np.isfinite(probabilities).all(axis=1)
        unlabelled = np.asarray(labels, object) == ""
        self._leave_out(_NOT_FINITE, ~finite)
        self._leave_out(_NO_LABEL, finite & unlabelled)
        self._leave_out(_UNKNOWN, finite & ~unlabelled & (true < 0))
        usable = np.flatnonzero(finite & (true >= 0))
        if not len(usable):
            return
        values, true = probabilities[usable].astype(np.float64), true[usable]
        predicted = values.argmax(axis=1)
        np.add.at(self._confusion, (true, predicted), 1)
        keys = pd.MultiIndex.from_arrays([np.asarray(wells)[usable], np.asarray(sites)[usable], true])
        numbers, distinct = pd.factorize(keys)
        sums = np.zeros((len(distinct), len(self.classes)))
        np.add.at(sums, numbers, values)
        cells = np.bincount(numbers)
        correct = np.bincount(numbers, weights=predicted == true)
        for number, (well, site, label) in enumerate(distinct):
            entry = (int(label), sums[number], int(cells[number]), int(correct[number]))
            if not _joined(self._wells, (plate, str(well)), *entry):
                self._several.add((plate, str(well)))
            _joined(self._sites, (plate, str(well), str(site)), *entry)

    def result(self, protocol: EvaluationProtocol) -> ScoreResult:
        """Accuracy by argmax per cell, and by the mean probability of the cells of a site and of a well.

        Intervals resample wells, because the cells of a well are not independent of each other. Wells with
        cells of several labels count in the accuracy of cells only.

        Returns
        -------
        ScoreResult
            Scores `accuracy_cells`, `accuracy_sites`, `accuracy_wells`; for each level (cell, site, well) the
            tables "confusion_<level>s" (row: true class, normalised to a sum of 1; NaN where it has none) and
            "classes_<level>s" (precision, recall, F1 and support per class).
        """
        if not self._wells:
            return self._none()
        wells = {key: group for key, group in self._wells.items() if key not in self._several}
        sites = {key: group for key, group in self._sites.items() if key[:2] not in self._several}
        confusions = {
            "cell": self._confusion,
            "site": _confusion(list(sites.values()), len(self.classes)),
            "well": _confusion(list(wells.values()), len(self.classes)),
        }
        groups = {
            "cell": [(group.correct, group.cells) for group in self._wells.values()],
            "site": _correct_by_well(sites),
            "well": [(int(group.total.argmax() == group.label), 1) for group in wells.values()],
        }
        scores = [self._score(level, confusions[level], groups[level], protocol) for level in _LEVELS]
        tables = {}
        for level, counts in confusions.items():
            tables[f"confusion_{level}s"] = _normalised(counts, self.classes)
            tables[f"classes_{level}s"] = _per_class(counts, self.classes)
        return ScoreResult(tuple(scores), tables)

    def _leave_out(self, reason: str, rows: np.ndarray) -> None:
        if rows.any():
            self._excluded[reason] = self._excluded.get(reason, 0) + int(rows.sum())

    def _none(self) -> ScoreResult:
        left_out = "; ".join(f"{reason}: {count}" for reason, count in self._excluded.items())
        reason = "no cell has a known class" + (f" ({left_out})" if left_out else "")
        return ScoreResult(
            tuple(not_applicable(f"accuracy_{name}s", f"{name}s", _line(name), reason) for name in _LEVELS)
        )

    def _score(
        self,
        level: str,
        confusion: np.ndarray,
        groups: list[tuple[int, int]],
        protocol: EvaluationProtocol,
    ) -> Score:
        total = int(confusion.sum())
        excluded = dict(self._excluded)
        if level != "cell" and self._several:
            excluded[_SEVERAL] = len(self._several)
        name, unit, line = f"accuracy_{level}s", f"{level}s", _line(level)
        if not total:
            return not_applicable(name, unit, line, f"all {level}s hold cells of several labels")
        correct, count = np.array(groups, np.float64).T
        low, high = paired_interval(_ratio, (correct, count), protocol)
        return Score(
            name,
            float(np.trace(confusion)) / total,
            total,
            unit,
            line,
            low,
            high,
            excluded=excluded,
            chance=1 / len(self.classes),
            details={
                "classes": len(self.classes),
                "classes_with_cells": int((confusion.sum(axis=1) > 0).sum()),
                "largest_class": float(confusion.sum(axis=1).max()) / total,
            },
        )


def _line(level: str) -> str:
    how = {
        "cell": "argmax of each cell's class probabilities",
        "site": "argmax of the mean class probabilities of a site's cells",
        "well": "argmax of the mean class probabilities of a well's cells",
    }
    return f"{how[level]}; intervals resample wells"


def _ratio(parts: np.ndarray, wholes: np.ndarray, axis: int) -> np.ndarray:
    return parts.sum(axis=axis) / wholes.sum(axis=axis)


def _joined(
    groups: dict, key: tuple[str, ...], label: int, total: np.ndarray, cells: int, correct: int
) -> bool:
    """Add cells to their group; whether the group has this label."""
    group = groups.setdefault(key, _Group(label, np.zeros_like(total)))
    group.total += total
    group.cells += cells
    group.correct += correct
    return group.label == label


def _confusion(groups: list[_Group], classes: int) -> np.ndarray:
    counts = np.zeros((classes, classes), np.int64)
    for group in groups:
        counts[group.label, group.total.argmax()] += 1
    return counts


def _correct_by_well(sites: dict[tuple[str, str, str], _Group]) -> list[tuple[int, int]]:
    """(correct sites, sites) of each well."""
    wells: dict[tuple[str, str], tuple[int, int]] = {}
    for (plate, well, _), group in sites.items():
        correct, count = wells.get((plate, well), (0, 0))
        wells[plate, well] = correct + int(group.total.argmax() == group.label), count + 1
    return list(wells.values())


def _normalised(counts: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    frame = pd.DataFrame(shares, columns=list(classes))
    frame.insert(0, "true_class", list(classes), allow_duplicates=True)
    return frame


def _per_class(counts: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Precision, recall and F1; 0 where a class was never predicted, NaN where nothing belongs to it."""
    right = np.diag(counts).astype(np.float64)
    support, predicted = counts.sum(axis=1), counts.sum(axis=0)
    missing = np.full(len(classes), np.nan)
    recall = np.divide(right, support, out=missing.copy(), where=support > 0)
    precision = np.divide(right, predicted, out=np.zeros(len(classes)), where=predicted > 0)
    f1 = np.divide(2 * right, support + predicted, out=missing.copy(), where=support > 0)
    return pd.DataFrame(
        {"class": list(classes), "precision": precision, "recall": recall, "f1": f1, "support": support}
    )
