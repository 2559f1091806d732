"""Average precision, its mean over groups and permutation p-values, by copairs.

Method: Kalinin et al. 2025, "A versatile information retrieval framework for evaluating profile strength and
similarity".
"""

from collections.abc import Sequence
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from scipy.special import comb

from dp_assets.config.evaluation_sections import EvaluationSettings

# Pairs of profiles that are held in memory at a time: small enough to stay in the processor's cache.
_PAIRS = 1000

# Less than any step between two values that a mean average precision can take, more than rounding in float32.
_TIE = 1e-6


def average_precisions(
    meta: pd.DataFrame,
    features: np.ndarray,
    *,
    positives: tuple[Sequence[str], Sequence[str]],
    negatives: tuple[Sequence[str], Sequence[str]],
    label_sets: str | None = None,
) -> pd.DataFrame:
    """How high each profile ranks its positives among its negatives, by cosine similarity.

    Parameters
    ----------
    meta : one row per profile; the columns that pairs are made by. Column names are plain words.
    features : (rows, features) float64. A profile of zeros has the similarity 0 to all others.
    positives, negatives : the columns that both of a pair have in common, and those in which they differ.
    label_sets : a column of lists of labels. Two rows then agree if their lists share a label, and a profile
        has one average precision per label.

    Returns
    -------
    pandas.DataFrame
        The rows of `meta` (repeated per label with `label_sets`) with `average_precision`,
        `normalized_average_precision`, `n_pos_pairs` and `n_total_pairs`; only rows with positives.
    """
    from copairs.map import average_precision, multilabel

    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = np.divide(features, length, out=np.zeros_like(features), where=length > 0)
    common = {
        "meta": meta,
        "feats": unit,
        "pos_sameby": list(positives[0]),
        "pos_diffby": list(positives[1]),
        "neg_sameby": list(negatives[0]),
        "neg_diffby": list(negatives[1]),
        "batch_size": _PAIRS,
        "distance": _products,
        "progress_bar": False,
    }
    if label_sets is None:
        found = average_precision(**common)
    else:
        found = multilabel.average_precision(**common, multilabel_col=label_sets)
    return found[found["n_pos_pairs"] > 0].reset_index(drop=True)


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Cosine similarities of rows that have unit length already."""
    return np.einsum("ij,ij->i", left, right)


def mean_average_precisions(
    precisions: pd.DataFrame, group: str, settings: EvaluationSettings, *, strict_ties: bool
) -> pd.DataFrame:
    """Mean average precision of each group, with p-values and Benjamini-Hochberg q-values.

    The null distribution of a group is `permutations` random rankings with as many positives and negatives as
    its profiles have. A p-value is the share of rankings that are at least as good (one is added to both
    counts). copairs itself takes only better ones: where few negatives make a perfect ranking likely by
    chance, its p-value of a perfect group is the smallest there is.

    Parameters
    ----------
    precisions : as from `average_precisions`.
    group : the column that makes the groups.
    settings : numbers of the evaluation; `permutations`, `significance` and `seed` are used.
    strict_ties : count only better rankings, as copairs does.

    Returns
    -------
    pandas.DataFrame
        One row per group, sorted: the group's column, `mean_average_precision`,
        `normalized_mean_average_precision`, `p_value`, `corrected_p_value`, `significant`.
    """
    from copairs.map import mean_average_precision

    lowered = 0.0 if strict_ties else _TIE
    # copairs keeps null distributions in the home folder and takes what it finds there, whatever it was drawn
    # for: with a folder of its own the seed alone decides.
    with TemporaryDirectory(prefix="null_distributions_") as folder:
        found = mean_average_precision(
            precisions.assign(average_precision=precisions["average_precision"] - lowered),
            [group],
            null_size=settings.permutations,
            threshold=settings.significance,
            seed=settings.seed,
            progress_bar=False,
            cache_dir=folder,
        )
    return pd.DataFrame(
        {
            group: found[group],
            "mean_average_precision": found["mean_average_precision"] + lowered,
            "normalized_mean_average_precision": found["mean_normalized_average_precision"],
            "p_value": found["p_value"],
            "corrected_p_value": found["corrected_p_value"],
            "significant": found["below_corrected_p"].astype(bool),
        }
    )


def expected_average_precision(precisions: pd.DataFrame) -> np.ndarray:
    """(rows,) what a random ranking gets on average, for the pairs of each row of `average_precisions`."""
    from copairs.map.normalization import expected_ap

    pairs = precisions[["n_pos_pairs", "n_total_pairs"]].to_numpy(np.int64)
    distinct, inverse = np.unique(pairs, axis=0, return_inverse=True)
    expected = [expected_ap(int(positive), int(total - positive)) for positive, total in distinct]
    return np.array(expected, np.float64)[inverse]


def lowest_p_value(precisions: pd.DataFrame, permutations: int) -> float:
    """The p-value of a perfect ranking of the profile with the best chances.

    Above the significance level nothing can be found significant, whatever the profiles.
    """
    by_chance = 1 / comb(precisions["n_total_pairs"], precisions["n_pos_pairs"])
    return max(float(by_chance.min()), 1 / (permutations + 1))
