"""The simple classifiers of label probes, and what they predict for wells they have not seen."""

from dataclasses import dataclass
from typing import Any
from warnings import catch_warnings, filterwarnings

import numpy as np

from dp_assets.evaluation.probe_folds import Folds

_TREES = 100
_NEIGHBOURS = 5
_ITERATIONS = 200

PROBES = {
    "forest": f"random forest of {_TREES} trees",
    "logistic": "logistic regression on standardized features",
    "knn": f"{_NEIGHBOURS} nearest neighbours by cosine",
}

# A forest's time grows with classes times trees times wells: above this it takes minutes.
MOST_CLASSES = {"forest": 60}


@dataclass(frozen=True)
class Predictions:
    """What a probe says of every well.

    Attributes
    ----------
    classes : (wells,) str, the predicted class; "" where there was nothing to learn from.
    not_converged : number of folds in which the classifier stopped before it had converged.
    unseen : number of wells whose class was not in the part that was learned from.
    """

    classes: np.ndarray
    not_converged: int
    unseen: int


def predictions(
    probe: str, features: np.ndarray, classes: np.ndarray, folds: Folds, seed: int
) -> Predictions:
    """Learn from the training part of each fold, predict its test part.

    Parameters
    ----------
    probe : one of `PROBES`.
    features : (wells, features) float64.
    classes : (wells,) str.
    folds : every well is tested once.
    seed : of the forest.
    """
    from sklearn.exceptions import ConvergenceWarning

    found = np.full(len(classes), "", classes.dtype)
    not_converged, unseen = 0, 0
    for training, test in folds:
        known = np.unique(classes[training])
        unseen += int((~np.isin(classes[test], known)).sum())
        if len(known) < 2:
            # Nothing to tell apart; scikit-learn's logistic regression would refuse.
            found[test] = known[0] if len(known) else ""
            continue
        classifier = _classifier(probe, len(training), seed)
        with catch_warnings():
            filterwarnings("ignore", category=ConvergenceWarning)
            classifier.fit(features[training], classes[training])
        found[test] = classifier.predict(features[test])
        not_converged += int(np.max(getattr(classifier[-1], "n_iter_", 0)) >= _ITERATIONS)
    return Predictions(found, not_converged, unseen)


def _classifier(probe: str, wells: int, seed: int) -> Any:
    """A scikit-learn pipeline; what it scales with is learned from the training part alone."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if probe == "forest":
        return make_pipeline(
            RandomForestClassifier(
                _TREES, max_features="log2", class_weight="balanced", n_jobs=2, random_state=seed
            )
        )
    if probe == "logistic":
        return make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=_ITERATIONS, class_weight="balanced")
        )
    return make_pipeline(KNeighborsClassifier(min(_NEIGHBOURS, wells), metric="cosine"))
