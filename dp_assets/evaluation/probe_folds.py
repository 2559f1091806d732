"""Splits of wells into training and test parts that share no plate, and no compound where asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from warnings import catch_warnings, filterwarnings

import numpy as np


@dataclass(frozen=True)
class Folds:
    """A way to test every well once.

    Attributes
    ----------
    tests : (folds, wells) bool, the wells each fold tests; every well in exactly one.
    trainings : (folds, wells) bool, the wells each fold learns from.
    """

    tests: np.ndarray
    trainings: np.ndarray

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (training, test) row numbers."""
        for training, test in zip(self.trainings, self.tests, strict=True):
            yield np.flatnonzero(training), np.flatnonzero(test)

    def __len__(self) -> int:
        """The number of folds."""
        return len(self.tests)


def grouped_folds(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> Folds:
    """Folds that keep each group whole, with labels spread as evenly as that allows.

    Parameters
    ----------
    labels : (wells,) str.
    groups : (wells,) str, such as the plate; at least two different ones.
    folds : at most this many; fewer where there are fewer groups, or no label has as many wells.
    seed : of the shuffle.
    """
    number = _fold_numbers(labels, groups, folds, seed)
    tests = number == np.unique(number)[:, None]
    return Folds(tests, ~tests)


def crossed_folds(
    labels: np.ndarray, compounds: np.ndarray, plates: np.ndarray, folds: int, seed: int
) -> Folds:
    """Folds that share neither plates nor compounds: what is tested is new in both.

    Plates are halved, compounds go into folds. A test part is a fold of compounds on one half of the plates;
    it is learned from the other compounds on the other half.

    Parameters
    ----------
    labels, compounds, plates : (wells,) str.
    folds : at most this many folds of compounds.
    seed : of the shuffles.
    """
    half = _fold_numbers(labels, plates, 2, seed)
    compound = _fold_numbers(labels, compounds, folds, seed)
    tests, trainings = [], []
    for h in np.unique(half):
        for c in np.unique(compound):
            test = (half == h) & (compound == c)
            if test.any():
                tests.append(test)
                trainings.append((half != h) & (compound != c))
    return Folds(np.array(tests), np.array(trainings))


def _fold_numbers(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(wells,) int, the fold of each well; folds may be empty where groups differ much in size."""
    from sklearn.model_selection import StratifiedGroupKFold

    most = int(np.unique(labels, return_counts=True)[1].max())
    count = min(folds, len(np.unique(groups)), most)
    number = np.zeros(len(labels), np.int64)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with catch_warnings():
        # Labels with fewer wells than folds are usual here.
        filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, test) in enumerate(splitter.split(labels, labels, groups)):
            number[test] = fold
    return number
