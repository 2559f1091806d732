"""Does the nearest other treatment share the label? NSC, NSCB and its strict form.

NSC ("not same compound") looks for the nearest neighbour among treatments of other compounds, NSCB ("not same
compound, not same batch") among those of other batches too. Sources: Ljosa et al. 2013, Ando et al. 2017.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.bootstrap import interval, paired_interval
from dp_assets.evaluation.label_batches import label_batches
from dp_assets.evaluation.matches import shared_labels
from dp_assets.evaluation.neighbour_libraries import Candidates, counted, other_batches, other_compounds
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.score import Score, ScoreResult, not_applicable
from dp_assets.evaluation.similarity import cosine_similarity, zero_rows

_METHODS = {
    "nsc": "treatments of other compounds",
    "nscb": "treatments of other compounds whose batches are not all the same, labels of one batch left out",
    "nscb_strict": "treatments of other compounds that share no batch, labels of one batch left out",
}
_DROP = "NSC - NSCB"


@dataclass(frozen=True)
class Neighbours:
    """What the nearest neighbours say; all arrays (n,).

    Attributes
    ----------
    evaluated : whether the treatment is usable and its library is not empty.
    nearest : row number of the neighbour, the lowest of those that are equally near; -1 if not evaluated.
    similarity : cosine to it; NaN if not evaluated.
    library_sizes : how many treatments could have been the neighbour.
    correct : whether it shares a label.
    chance : the share of the library that shares a label.
    ties : treatments with more than one nearest neighbour.
    """

    evaluated: np.ndarray
    nearest: np.ndarray
    similarity: np.ndarray
    library_sizes: np.ndarray
    correct: np.ndarray
    chance: np.ndarray
    ties: int


def nearest_neighbours(similarities: np.ndarray, candidates: Candidates) -> Neighbours:
    """The nearest neighbour of every usable treatment.

    Parameters
    ----------
    similarities : (n, n) float64.
    candidates : who is asked, and in which library each one looks; nobody, if the score does not apply.
    """
    usable = candidates.usable & (not candidates.reason)
    library = candidates.library & usable[None, :] & usable[:, None]
    sizes = library.sum(axis=1)
    evaluated = sizes > 0
    if not len(sizes):
        return Neighbours(evaluated, sizes, sizes.astype(float), sizes, evaluated, sizes.astype(float), 0)
    allowed = np.where(library, similarities, -np.inf)
    nearest = allowed.argmax(axis=1)
    best = allowed.max(axis=1)
    matches = shared_labels(candidates.labels)
    rows = np.arange(len(sizes))
    return Neighbours(
        evaluated=evaluated,
        nearest=np.where(evaluated, nearest, -1),
        similarity=np.where(evaluated, best, np.nan),
        library_sizes=sizes,
        correct=evaluated & matches[rows, nearest],
        chance=(library & matches).sum(axis=1) / np.maximum(sizes, 1),
        ties=int(((library & (allowed == best[:, None])).sum(axis=1) > 1).sum()),
    )


def nearest_neighbour_scores(treatments: ProfileSet, protocol: EvaluationProtocol) -> ScoreResult:
    """NSC, NSCB, strict NSCB and the drop from NSC to NSCB.

    The neighbour is the nearest by cosine; it is right if it shares a label with the treatment. For NSCB,
    labels that occur in a single batch are left out, and the `excluded_labels` of the protocol; treatments of
    such labels are no neighbours either. Two treatments are of the same batch if their lists of batches are
    the same (`nscb`, as published) or if they have a batch in common (`nscb_strict`). A treatment that has
    nobody to look among is not evaluated.

    Parameters
    ----------
    treatments : one row per treatment. Those without a label or compound take no part.
    protocol : `label_separator`, `excluded_labels`, and the numbers for confidence intervals are used.

    Returns
    -------
    ScoreResult
        Scores `nsc`, `nscb`, `nscb_strict` and `drop`. Tables "treatments" (all treatments that are no
        controls), "labels", and for each score "errors_<score>" and "confusion_<score>" (true x predicted).
    """
    treatments = treatments.take(~treatments.is_control)
    similarities = cosine_similarity(treatments.features)
    sets = treatments.label_sets(protocol.label_separator)
    candidates = {
        "nsc": other_compounds(treatments, sets),
        "nscb": other_batches(treatments, sets, protocol.excluded_labels, strict=False),
        "nscb_strict": other_batches(treatments, sets, protocol.excluded_labels, strict=True),
    }
    found = {name: nearest_neighbours(similarities, asked) for name, asked in candidates.items()}
    tables = {"treatments": _treatments(treatments, found)}
    if any(sets):
        tables["labels"] = label_batches(treatments, sets, protocol.excluded_labels).table
    for name, neighbours in found.items():
        if neighbours.evaluated.any():
            tables[f"errors_{name}"] = _errors(treatments, neighbours)
            tables[f"confusion_{name}"] = _confusion(treatments, neighbours)
    scores = [_score(name, candidates[name], found[name], treatments, protocol) for name in _METHODS]
    return ScoreResult((*scores, _drop(scores[0], scores[1], found, protocol)), tables)


def _score(
    name: str, asked: Candidates, found: Neighbours, treatments: ProfileSet, protocol: EvaluationProtocol
) -> Score:
    line = f"nearest neighbour by cosine among {_METHODS[name]}"
    if asked.reason:
        return not_applicable(name, "treatments", line, asked.reason)
    excluded = asked.excluded | counted(
        {"nobody to look among (empty library)": asked.usable & ~found.evaluated}
    )
    correct = found.correct[found.evaluated].astype(np.float64)
    if not len(correct):
        return not_applicable(name, "treatments", line, "every treatment has an empty library")
    return Score(
        name,
        float(correct.mean()),
        len(correct),
        "treatments",
        line,
        *interval(correct, protocol),
        excluded=excluded,
        chance=float(found.chance[found.evaluated].mean()),
        details={
            "correct": int(correct.sum()),
            # The rest cannot be right, whatever the profiles.
            "with_a_match_in_the_library": int((found.chance[found.evaluated] > 0).sum()),
            "ties": found.ties,
            "zero_profiles": zero_rows(treatments.features[asked.usable]),
        },
    )


def _drop(nsc: Score, nscb: Score, found: dict[str, Neighbours], protocol: EvaluationProtocol) -> Score:
    for score in (nsc, nscb):
        if score.reason:
            return not_applicable("drop", "treatments", _DROP, f"{score.name}: {score.reason}")
    both = found["nsc"].evaluated
    second = found["nscb"].evaluated[both].astype(np.float64)
    samples = (
        found["nsc"].correct[both].astype(np.float64),
        found["nscb"].correct[both].astype(np.float64),
        second,
    )
    return Score(
        "drop",
        nsc.value - nscb.value,
        nsc.n,
        "treatments",
        _DROP,
        *paired_interval(_difference, samples, protocol),
        excluded=nsc.excluded,
        higher_is_better=False,
        details={"evaluated_by_nscb": nscb.n},
    )


def _difference(nsc: np.ndarray, nscb: np.ndarray, evaluated: np.ndarray, axis: int = -1) -> np.ndarray:
    """NSC - NSCB of resampled treatments; a resample without any for NSCB counts as one that is all wrong."""
    return nsc.mean(axis=axis) - nscb.sum(axis=axis) / np.maximum(evaluated.sum(axis=axis), 1)


def _treatments(treatments: ProfileSet, found: dict[str, Neighbours]) -> pd.DataFrame:
    """What each score found for each treatment; flags are empty where it was not evaluated."""
    columns: dict[str, object] = {
        "treatment": treatments.treatments,
        "compound": treatments.compounds,
        "concentration": treatments.concentrations,
        "label": treatments.labels,
        "batch": treatments.batches,
    }
    for name, neighbours in found.items():
        evaluated = neighbours.evaluated
        columns[name] = pd.Series(neighbours.correct).astype("boolean").where(evaluated)
        columns[f"{name}_neighbour"] = _of_nearest(treatments.treatments, neighbours)
        columns[f"{name}_neighbour_compound"] = _of_nearest(treatments.compounds, neighbours)
        columns[f"{name}_predicted"] = _of_nearest(treatments.labels, neighbours)
        columns[f"{name}_distance"] = 1 - neighbours.similarity
        columns[f"{name}_library_size"] = neighbours.library_sizes
    return pd.DataFrame(columns)


def _of_nearest(texts: np.ndarray, neighbours: Neighbours) -> np.ndarray:
    found = np.full(len(texts), "", object)
    found[neighbours.evaluated] = texts[neighbours.nearest[neighbours.evaluated]]
    return found


def _errors(treatments: ProfileSet, found: Neighbours) -> pd.DataFrame:
    rows = np.flatnonzero(found.evaluated & ~found.correct)
    nearest = found.nearest[rows]
    return pd.DataFrame(
        {
            "library_size": found.library_sizes[rows],
            "treatment": treatments.treatments[rows],
            "compound": treatments.compounds[rows],
            "concentration": treatments.concentrations[rows],
            "true": treatments.labels[rows],
            "predicted": treatments.labels[nearest],
            "neighbour": treatments.treatments[nearest],
            "neighbour_compound": treatments.compounds[nearest],
            "distance": 1 - found.similarity[rows],
        }
    )


def _confusion(treatments: ProfileSet, found: Neighbours) -> pd.DataFrame:
    """Counts of true labels (rows) and the neighbours' labels (columns), over evaluated treatments."""
    rows = np.flatnonzero(found.evaluated)
    true, predicted = treatments.labels[rows], treatments.labels[found.nearest[rows]]
    names = sorted({*true, *predicted})
    return (
        pd.crosstab(pd.Series(true, name="true"), pd.Series(predicted, name="predicted"))
        .reindex(index=names, columns=names, fill_value=0)
        .rename_axis(index="true", columns="predicted")
    )
