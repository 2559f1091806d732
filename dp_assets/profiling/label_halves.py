"""Halves of the labels, so that a choice made on one half can be judged on the other."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

# With fewer in a half, every answer is right.
LEAST_LABELS = 2


def label_halves(
    labels: Sequence[frozenset[str]], splits: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Halve the labels at random, several times.

    Labels of several treatments and labels of one treatment are halved apart, so that both halves have labels
    that can be found again. A treatment is in the half that all its labels are in; with labels in both
    halves, or none, it is in neither.

    Parameters
    ----------
    labels : of each treatment.
    splits : how many halvings.
    seed : of the halvings.

    Returns
    -------
    For each split the two halves, (treatments,) bool. Empty with fewer than four labels that several
    treatments have.
    """
    counts = Counter(label for of_one in labels for label in of_one)
    repeated = sorted(label for label, count in counts.items() if count > 1)
    single = sorted(label for label, count in counts.items() if count == 1)
    if len(repeated) < 2 * LEAST_LABELS:
        return []
    random = np.random.default_rng(seed)
    halvings = []
    for _ in range(splits):
        first = {*_half(repeated, random), *_half(single, random)}
        second = counts.keys() - first
        halvings.append(
            (
                np.array([bool(of_one) and of_one <= first for of_one in labels]),
                np.array([bool(of_one) and of_one <= second for of_one in labels]),
            )
        )
    return halvings


def _half(labels: list[str], random: np.random.Generator) -> list[str]:
    return [labels[number] for number in random.permutation(len(labels))[: len(labels) // 2]]
