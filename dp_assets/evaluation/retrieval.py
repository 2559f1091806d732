"""Treatments as queries: which of the others share a label, and in which order similarity puts them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.matches import shared_labels
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.similarity import cosine_similarity, zero_rows


@dataclass(frozen=True)
class Ranking:
    """The neighbours of one query, nearest first; ties in the order of their rows.

    Attributes
    ----------
    relevant : (n - 1,) bool, whether a neighbour shares a label with the query.
    similarities : (n - 1,) float64, descending.
    """

    relevant: np.ndarray
    similarities: np.ndarray


@dataclass(frozen=True)
class Retrieval:
    """Treatments with a label; each is compared with all the others, never with itself.

    Attributes
    ----------
    treatments : the n treatments that take part.
    matches : (n, n) bool, whether two of them share a label; false on the diagonal.
    queries : (q,) row numbers of the treatments with at least one match.
    excluded : reason -> number of treatments that are no queries.
    """

    treatments: ProfileSet
    matches: np.ndarray
    queries: np.ndarray
    excluded: dict[str, int]

    @property
    def neighbours(self) -> int:
        """How many treatments each query is compared with."""
        return len(self.treatments) - 1

    @property
    def relevant_counts(self) -> np.ndarray:
        """(q,) int, the number of matches of each query."""
        return self.matches[self.queries].sum(axis=1)

    @property
    def reason(self) -> str:
        """Why nothing can be ranked; "" when it can."""
        if not len(self.treatments):
            return "no treatment has a label"
        if not len(self.queries):
            return "no label is shared by two treatments"
        if self.matches.sum() == len(self.treatments) * self.neighbours:
            return "every treatment shares a label with every other"
        return ""

    @property
    def zero_profiles(self) -> int:
        """Treatments whose features are all zero: they are equally similar to everything."""
        return zero_rows(self.treatments.features)

    @cached_property
    def similarities(self) -> np.ndarray:
        """(n, n) float64, cosine."""
        return cosine_similarity(self.treatments.features)

    def rankings(self) -> Iterator[Ranking]:
        """The ranking of every query, in the order of `queries`."""
        for query in self.queries:
            similarities = np.delete(self.similarities[query], query)
            relevant = np.delete(self.matches[query], query)
            order = np.argsort(-similarities, kind="stable")
            yield Ranking(relevant[order], similarities[order])

    def described(self, rows: np.ndarray) -> pd.DataFrame:
        """What some of the treatments are: columns treatment, compound, concentration, label."""
        taken = self.treatments.take(rows)
        return pd.DataFrame(
            {
                "treatment": taken.treatments,
                "compound": taken.compounds,
                "concentration": taken.concentrations,
                "label": taken.labels,
            }
        )


def retrieval(treatments: ProfileSet, protocol: EvaluationProtocol) -> Retrieval:
    """Queries and matches among treatments.

    Controls and treatments without a label take no part, neither as queries nor as neighbours: whether they
    match is not known.

    Parameters
    ----------
    treatments : one row per treatment.
    protocol : its `label_separator` splits labels; two treatments match if they share one.
    """
    sets = treatments.label_sets(protocol.label_separator)
    labelled = np.array([bool(labels) for labels in sets], bool)
    usable = labelled & ~treatments.is_control
    rows = np.flatnonzero(usable)
    matches = shared_labels([sets[row] for row in rows])
    np.fill_diagonal(matches, False)
    has_match = matches.any(axis=1)
    excluded = Counter(
        {
            "controls": int(treatments.is_control.sum()),
            "no label": int((~labelled & ~treatments.is_control).sum()),
            "no other treatment shares a label": int((~has_match).sum()),
        }
    )
    return Retrieval(treatments.take(rows), matches, np.flatnonzero(has_match), dict(+excluded))
