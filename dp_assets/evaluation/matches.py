"""Which profiles belong together: those that share a label."""

from collections.abc import Sequence

import numpy as np


def shared_labels(label_sets: Sequence[frozenset[str]]) -> np.ndarray:
    """Which rows share at least one label with which.

    Labels are compared as they are: nothing in them is taken for a pattern.

    Parameters
    ----------
    label_sets : the labels of each row; a row without labels matches nothing.

    Returns
    -------
    numpy.ndarray
        (rows, rows) bool, symmetric. The diagonal is true where a row has a label.
    """
    numbers = {label: number for number, label in enumerate(sorted(frozenset().union(*label_sets)))}
    # float32 products run through BLAS, and count exactly far beyond any number of labels.
    membership = np.zeros((len(label_sets), len(numbers)), np.float32)
    for row, labels in enumerate(label_sets):
        membership[row, [numbers[label] for label in labels]] = 1
    return membership @ membership.T > 0
