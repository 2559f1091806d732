"""The average precisions of copairs for labels, without its list of all pairs: for thousands of treatments.

copairs lists every pair of treatments that share no label, which takes 14 GB for 6,000 of them.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from dp_assets.evaluation.similarity import unit_rows

# Queries that are ranked at a time.
_QUERIES = 256


def label_average_precisions(
    features: np.ndarray, label_sets: Sequence[frozenset[str]], compounds: np.ndarray
) -> pd.DataFrame:
    """How high each row ranks the rows of other compounds with one of its labels, by cosine similarity.

    The same numbers as `average_precisions` with `positives` (label, not compound) and `negatives` (not
    label); of rows that are equally similar a positive comes first, as there. Memory holds a block of rows.

    Parameters
    ----------
    features : (rows, features) float64.
    label_sets : of each row.
    compounds : (rows,) numbers; equal ones are of one compound.

    Returns
    -------
    pandas.DataFrame
        A row per query and label that has positives and negatives: `position` of the query, `label`,
        `average_precision`, `normalized_average_precision`, `n_pos_pairs`, `n_total_pairs`.
    """
    from copairs.map.normalization import normalize_ap

    unit = unit_rows(features)
    names = sorted({label for labels in label_sets for label in labels})
    membership = _membership(label_sets, names)
    of_label = {name: membership[:, number].toarray().ravel() > 0 for number, name in enumerate(names)}
    found: list[tuple[int, str, float, int, int]] = []
    for start in range(0, len(unit), _QUERIES):
        block = slice(start, start + _QUERIES)
        similarities = unit[block] @ unit.T
        shares = (membership[block] @ membership.T).toarray() > 0
        for offset, (similar, sharing) in enumerate(zip(similarities, shares, strict=True)):
            position = start + offset
            others = compounds != compounds[position]
            for label in sorted(label_sets[position]):
                positive = of_label[label] & others
                ranked = positive | ~sharing
                if positive.any() and not positive[ranked].all():
                    precision = _average_precision(similar[ranked], positive[ranked])
                    found.append((position, label, precision, int(positive.sum()), int(ranked.sum())))
    table = pd.DataFrame(
        found, columns=["position", "label", "average_precision", "n_pos_pairs", "n_total_pairs"]
    )
    negatives = (table["n_total_pairs"] - table["n_pos_pairs"]).to_numpy()
    table["normalized_average_precision"] = normalize_ap(
        table["average_precision"].to_numpy(), table["n_pos_pairs"].to_numpy(), negatives
    )
    return table


def _membership(label_sets: Sequence[frozenset[str]], names: list[str]) -> csr_matrix:
    """(rows, labels) of 0 and 1."""
    numbers = {name: number for number, name in enumerate(names)}
    columns = [numbers[label] for labels in label_sets for label in labels]
    rows = np.repeat(np.arange(len(label_sets)), [len(labels) for labels in label_sets])
    ones = np.ones(len(columns), np.int32)
    return csr_matrix((ones, (rows, columns)), shape=(len(label_sets), len(names)))


def _average_precision(similarities: np.ndarray, positive: np.ndarray) -> float:
    order = np.lexsort((~positive, -similarities))
    ranks = np.flatnonzero(positive[order]) + 1
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))
