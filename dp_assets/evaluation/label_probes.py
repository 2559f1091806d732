"""Can simple classifiers tell the label of a well from its profile, on plates they have not seen?"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.bootstrap import paired_interval
from dp_assets.evaluation.probe_classifiers import MOST_CLASSES, PROBES, predictions
from dp_assets.evaluation.probe_folds import Folds, crossed_folds, grouped_folds
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.score import Score, ScoreResult, not_applicable
from dp_assets.evaluation.well_selection import treated_wells

# Of larger screens so many wells are drawn: the classifiers would take hours.
MOST_WELLS = 10_000


@dataclass(frozen=True)
class _Labelled:
    """Treated wells with one class each: `wells.labels` is it, `target` says what it is."""

    wells: ProfileSet
    target: str
    excluded: dict[str, int]

    def without(self, rows: np.ndarray, reason: str) -> "_Labelled":
        """Those without some of the wells, which are (wells,) bool."""
        if not rows.any():
            return self
        return _Labelled(self.wells.take(~rows), self.target, {**self.excluded, reason: int(rows.sum())})


@dataclass(frozen=True)
class _Split:
    """A way of holding wells apart. `ending` is that of its scores' names, `reason` why it cannot be done."""

    ending: str
    held_apart: str
    labelled: _Labelled
    folds: Folds | None
    reason: str = ""


def label_probes(profiles: ProfileSet, protocol: EvaluationProtocol) -> ScoreResult:
    """Balanced accuracy of a random forest, a logistic regression and nearest neighbours, cross-validated.

    The class of a well is the label of its treatment, or the treatment itself where no labels are known;
    controls take no part, nor do wells with several labels. Every well is predicted once, by a model that has
    not seen its plate. With one plate only, that cannot be; then there are scores of models that have not
    seen the well ("_wells" in the name). For labels of several compounds there are also scores of models that
    have seen neither the plate nor the compound ("_compounds" in the name). Intervals resample treatments.
    Of more than 10,000 wells as many are drawn at random.

    Parameters
    ----------
    profiles : of wells.
    protocol : `probe_folds` and `seed` of its settings are used.

    Returns
    -------
    ScoreResult
        Scores `probe_<method>`, `probe_<method>_wells` (with one plate) and `probe_<method>_compounds`, with
        method forest, logistic, knn; tables "probe_classes", "probe_classes_wells", "probe_classes_compounds"
        with the recall of each class.
    """
    if profiles.level != "well":
        reason = f"needs profiles of wells, these are of {profiles.level}s"
        return ScoreResult(tuple(not_applicable(f"probe_{p}", "wells", PROBES[p], reason) for p in PROBES))
    labelled = _drawn(_labelled_wells(profiles, protocol), protocol.settings.seed)
    splits = [_by_plate(labelled, protocol)]
    if len(set(labelled.wells.plates)) == 1:
        splits.append(_by_well(labelled, protocol))
    splits.append(_by_plate_and_compound(labelled, protocol))
    results = [_probed(split, protocol) for split in splits]
    return ScoreResult(
        tuple(score for result in results for score in result.scores),
        {name: table for result in results for name, table in result.tables.items()},
    )


def _labelled_wells(profiles: ProfileSet, protocol: EvaluationProtocol) -> _Labelled:
    chosen = treated_wells(profiles, protocol)
    wells = profiles.take(chosen.rows)
    sets = wells.label_sets(protocol.label_separator)
    if not any(sets):
        return _Labelled(replace(wells, labels=wells.treatments), "treatment", chosen.excluded)
    count = np.array([len(labels) for labels in sets], np.int64)
    classes = np.array([min(labels, default="") for labels in sets], object)
    several = count > 1
    labelled = _Labelled(replace(wells, labels=classes), "label", chosen.excluded)
    return labelled.without(several, "wells with several labels").without(
        count[~several] == 0, "wells without a label"
    )


def _drawn(labelled: _Labelled, seed: int) -> _Labelled:
    count = len(labelled.wells)
    drawn = np.random.default_rng([seed, 4]).permutation(count)[:MOST_WELLS]
    left = np.ones(count, bool)
    left[drawn] = False
    return labelled.without(left, f"wells not drawn (more than {MOST_WELLS:,})")


def _by_plate(labelled: _Labelled, protocol: EvaluationProtocol) -> _Split:
    held_apart = "plates held apart"
    if len(set(labelled.wells.plates)) < 2:
        return _Split("", held_apart, labelled, None, "wells on one plate cannot be held apart from it")
    rare = _spread(labelled.wells.labels, labelled.wells.plates) < 2
    kept = labelled.without(rare, f"wells whose {labelled.target} is on one plate only")
    return _split("", held_apart, kept, protocol, kept.wells.plates)


def _by_well(labelled: _Labelled, protocol: EvaluationProtocol) -> _Split:
    rare = _spread(labelled.wells.labels, labelled.wells.wells) < 2
    kept = labelled.without(rare, f"wells whose {labelled.target} has one well only")
    return _split("_wells", "wells held apart (one plate)", kept, protocol, kept.wells.wells)


def _by_plate_and_compound(labelled: _Labelled, protocol: EvaluationProtocol) -> _Split:
    ending, held_apart = "_compounds", "plates and compounds held apart"
    if labelled.target == "treatment":
        return _Split(ending, held_apart, labelled, None, "there are no labels that compounds could share")
    kept = labelled.without(labelled.wells.compounds == "", "wells without a compound")
    if len(set(kept.wells.plates)) < 2:
        return _Split(ending, held_apart, kept, None, "fewer than two plates have wells with known compounds")
    rare = _spread(kept.wells.labels, kept.wells.compounds) < 2
    return _split(
        ending, held_apart, kept.without(rare, "wells whose label has one compound"), protocol, None
    )


def _split(
    ending: str, held_apart: str, kept: _Labelled, protocol: EvaluationProtocol, groups: np.ndarray | None
) -> _Split:
    """Folds over `groups`, or over plates and compounds at once where it is None."""
    wells, settings = kept.wells, protocol.settings
    classes = wells.labels.astype(str)
    if len(set(classes)) < 2:
        reason = f"needs two {kept.target}s that can be held apart, there are {len(set(classes))}"
        return _Split(ending, held_apart, kept, None, reason)
    if groups is not None:
        folds = grouped_folds(classes, groups.astype(str), settings.probe_folds, settings.seed)
    elif len(set(wells.plates)) < 2:
        return _Split(ending, held_apart, kept, None, "labels of several compounds are on one plate only")
    else:
        compounds, plates = wells.compounds.astype(str), wells.plates.astype(str)
        folds = crossed_folds(classes, compounds, plates, settings.probe_folds, settings.seed)
    return _Split(ending, held_apart, kept, folds)


def _spread(classes: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(wells,) int, over how many groups the class of each well is spread."""
    frame = pd.DataFrame({"class": classes.astype(str), "group": groups.astype(str)})
    return frame.groupby("class")["group"].transform("nunique").to_numpy()


def _probed(split: _Split, protocol: EvaluationProtocol) -> ScoreResult:
    """The scores of one split, and its table."""
    wells, target = split.labelled.wells, split.labelled.target
    classes = wells.labels.astype(str)
    names = np.unique(classes)
    scores = []
    recalls: dict[str, np.ndarray] = {}
    for probe, method in PROBES.items():
        name = f"probe_{probe}{split.ending}"
        line = f"{target} of a well by {method}, {split.held_apart}; balanced accuracy"
        if split.folds is None:
            scores.append(not_applicable(name, "wells", line, split.reason))
            continue
        if len(names) > MOST_CLASSES.get(probe, len(names)):
            reason = f"{len(names)} classes, more than {MOST_CLASSES[probe]} take too long"
            scores.append(not_applicable(name, "wells", line, reason))
            continue
        found = predictions(probe, wells.features, classes, split.folds, protocol.settings.seed)
        correct = found.classes == classes
        recalls[f"recall_{probe}"] = np.array([correct[classes == one].mean() for one in names])
        scores.append(
            Score(
                name,
                float(recalls[f"recall_{probe}"].mean()),
                len(wells),
                "wells",
                f"{line}, {len(split.folds)} folds",
                *_interval(correct, classes, wells.treatments.astype(str), protocol),
                excluded=split.labelled.excluded,
                chance=1 / len(names),
                details={
                    "accuracy": float(correct.mean()),
                    "classes": len(names),
                    "plates": len(set(wells.plates)),
                    "folds": len(split.folds),
                    "folds_not_converged": found.not_converged,
                    "wells_of_classes_not_learned": found.unseen,
                },
            )
        )
    if not recalls:
        return ScoreResult(tuple(scores))
    table = _class_table(wells, names, recalls)
    return ScoreResult(tuple(scores), {f"probe_classes{split.ending}": table})


def _class_table(wells: ProfileSet, names: np.ndarray, recalls: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = [wells.labels == name for name in names]
    counted: dict[str, Callable[[np.ndarray], int]] = {
        "wells": lambda chosen: int(chosen.sum()),
        "treatments": lambda chosen: len(set(wells.treatments[chosen])),
        "plates": lambda chosen: len(set(wells.plates[chosen])),
    }
    counts = {name: [count(chosen) for chosen in rows] for name, count in counted.items()}
    return pd.DataFrame({"class": names, **counts, **recalls})


def _interval(
    correct: np.ndarray, classes: np.ndarray, treatments: np.ndarray, protocol: EvaluationProtocol
) -> tuple[float, float]:
    """Interval of balanced accuracy; treatments are drawn, each with all its wells."""
    wells = pd.DataFrame({"class": classes, "treatment": treatments, "correct": correct})
    groups = wells.groupby(["class", "treatment"])["correct"].agg(["sum", "size"]).reset_index()
    number = np.unique(groups["class"], return_inverse=True)[1]
    samples = (groups["sum"].to_numpy(), groups["size"].to_numpy(), number)
    return paired_interval(_balanced_accuracy, samples, protocol)


def _balanced_accuracy(correct: np.ndarray, wells: np.ndarray, classes: np.ndarray, axis: int) -> np.ndarray:
    """Mean over the classes that were drawn of the share of correct wells."""
    total, drawn = np.zeros(1), np.zeros(1)
    for number in np.unique(classes):
        own = classes == number
        count = (wells * own).sum(axis=axis)
        share = (correct * own).sum(axis=axis) / np.maximum(count, 1)
        total, drawn = total + share, drawn + (count > 0)
    found: np.ndarray = total / drawn
    return found
