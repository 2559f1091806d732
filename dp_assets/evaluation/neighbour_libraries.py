"""In which library each treatment may look for its nearest neighbour."""

from dataclasses import dataclass

import numpy as np

from dp_assets.evaluation.label_batches import label_batches
from dp_assets.evaluation.matches import shared_labels
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.storage.profile_columns import SEPARATOR


@dataclass(frozen=True)
class Candidates:
    """Who may take part in a score.

    Attributes
    ----------
    usable : (n,) bool, the treatments that are asked for and may be neighbours.
    labels : the labels of each treatment that count in this score.
    library : (n, n) bool, whether treatment j may be the neighbour of treatment i.
    excluded : reason -> number of treatments that are not usable.
    reason : why the score does not apply; "" when it does.
    """

    usable: np.ndarray
    labels: list[frozenset[str]]
    library: np.ndarray
    excluded: dict[str, int]
    reason: str = ""


def other_compounds(treatments: ProfileSet, sets: list[frozenset[str]]) -> Candidates:
    """Everybody with a label and a compound may take part; neighbours are of other compounds.

    Parameters
    ----------
    treatments : n treatments, no controls.
    sets : the labels of each.
    """
    compounds = treatments.compounds
    labelled = np.array([bool(labels) for labels in sets], bool)
    usable = labelled & (compounds != "")
    reasons = {"no label": ~labelled, "no compound": labelled & (compounds == "")}
    used = [labels for labels, row in zip(sets, usable, strict=True) if row]
    reason = ""
    if not labelled.any():
        reason = "no treatment has a label"
    elif not usable.any():
        reason = "it is not known which compound a treatment is of"
    elif len(frozenset().union(*used)) < 2:
        reason = "all treatments have the same label"
    elif len(set(compounds[usable])) < 2:
        reason = "all treatments are of the same compound"
    return Candidates(usable, sets, _differ(compounds), counted(reasons), reason)


def other_batches(
    treatments: ProfileSet, sets: list[frozenset[str]], excluded_labels: tuple[str, ...], *, strict: bool
) -> Candidates:
    """Neighbours are of other compounds and other batches; labels that occur in one batch are left out.

    Parameters
    ----------
    treatments : n treatments, no controls.
    sets : the labels of each.
    excluded_labels : labels that are left out by name.
    strict : neighbours share no batch; otherwise it is enough that their lists of batches differ. The order
        of a list does not count: it only says which plate came first in a file.
    """
    base = other_compounds(treatments, sets)
    if base.reason:
        return base
    with_batch = base.usable & (treatments.batches != "")
    where = label_batches(treatments, sets, excluded_labels)
    kept = [labels - where.single - where.named for labels in sets]
    single = with_batch & np.array([bool(labels) and labels <= where.single for labels in sets], bool)
    usable = with_batch & np.array([bool(labels) for labels in kept], bool)
    excluded = base.excluded | counted(
        {
            "no batch": base.usable & ~with_batch,
            "label in a single batch": single,
            "label left out by the protocol": with_batch & ~usable & ~single,
        }
    )
    reason = ""
    if not with_batch.any():
        reason = "it is not known which batch a treatment is of"
    elif not usable.any():
        reason = "no label occurs in two batches"
    elif len(frozenset().union(*(labels for labels, row in zip(kept, usable, strict=True) if row))) < 2:
        reason = "only one label occurs in two batches"
    batches = [frozenset(text.split(SEPARATOR)) - {""} for text in treatments.batches]
    if strict:
        other = ~shared_labels(batches)
    else:
        other = _differ(np.array([SEPARATOR.join(sorted(of_one)) for of_one in batches], object))
    return Candidates(usable, kept, base.library & other, excluded, reason)


def counted(reasons: dict[str, np.ndarray]) -> dict[str, int]:
    """Reason -> number of rows, without those that are 0; the values of `reasons` are bool arrays."""
    return {reason: int(rows.sum()) for reason, rows in reasons.items() if rows.any()}


def _differ(texts: np.ndarray) -> np.ndarray:
    """(n, n) bool, whether two texts are not the same."""
    numbers = np.unique(texts.astype(str), return_inverse=True)[1]
    return numbers[:, None] != numbers[None, :]
