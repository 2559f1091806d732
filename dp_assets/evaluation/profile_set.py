"""Profiles as the scores take them: an array of features, and what each row is."""

from dataclasses import dataclass, field, fields

import numpy as np


@dataclass(frozen=True)
class ProfileSet:
    """Profiles of one level.

    Attributes
    ----------
    level : "cell", "site", "well" or "treatment".
    features : (rows, features) float64, finite.
    names : (features,) str.
    treatments, compounds, labels, batches, plates, wells, concentrations : (rows,) object arrays of str; ""
        where a row has none. Batches and plates of a treatment are joined with ",", in order of appearance.
        Labels are as in the table (see `label_sets`). Left out, concentrations are "" everywhere.
    is_control : (rows,) bool.

    Raises
    ------
    ValueError : an array with another number of rows than `features`, or other than one name per feature.
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
    concentrations: np.ndarray = field(default_factory=lambda: np.empty(0, object))

    def __post_init__(self) -> None:
        """Fill what was left out, and hold the lengths against each other."""
        if not len(self.concentrations):
            object.__setattr__(self, "concentrations", np.full(len(self.features), "", object))
        if len(self.names) != self.features.shape[1]:
            raise ValueError(f"Expected {self.features.shape[1]} feature names. Received {len(self.names)}.")
        for name in self._row_fields():
            if len(getattr(self, name)) != len(self.features):
                raise ValueError(
                    f"Expected {len(self.features)} rows in {name}. Received {len(getattr(self, name))}."
                )

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.features)

    def take(self, rows: np.ndarray) -> "ProfileSet":
        """Some of the rows: a boolean mask, or row numbers."""
        taken = {name: getattr(self, name)[rows] for name in self._row_fields()}
        return ProfileSet(level=self.level, names=self.names, **taken)

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

    def _row_fields(self) -> list[str]:
        return [f.name for f in fields(self) if f.name not in ("level", "names")]
