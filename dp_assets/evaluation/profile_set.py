"""Profiles as the scores take them: an array of features, and what each row is."""

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class ProfileSet:
    """Profiles of one level.

    Attributes
    ----------
    level : "cell", "site", "well" or "treatment".
    features : (rows, features) float64, finite.
    names : (features,) str.
    treatments, compounds, labels, batches, plates, wells : (rows,) object arrays of str; "" where a row has
        none. Batches and plates of a treatment are joined with ",", in order of appearance. Labels are as in
        the table (see `label_sets`).
    is_control : (rows,) bool.
    """

    level: str
    features: np.ndarray
    names: np.ndarray
    treatments: np.ndarray
    compounds: np.ndarray
    labels: np.ndarray
    batches: np.ndarray
    plates: np.ndarray
    wells: np.ndarray
    is_control: np.ndarray

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.features)

    def take(self, rows: np.ndarray) -> "ProfileSet":
        """Some of the rows: a boolean mask, or row numbers."""
        same = ("level", "names")
        values = {
            f.name: getattr(self, f.name) if f.name in same else getattr(self, f.name)[rows]
            for f in fields(self)
        }
        return ProfileSet(**values)

    def label_sets(self, separator: str) -> list[frozenset[str]]:
        """The labels of each row as a set; empty where it has none.

        Parameters
        ----------
        separator : what stands between several labels of one row; "" when a row has one label.
        """
        if not separator:
            return [frozenset([text]) if text else frozenset() for text in self.labels]
        return [
            frozenset(part.strip() for part in text.split(separator) if part.strip()) for text in self.labels
        ]
