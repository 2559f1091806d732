"""What becomes of features and rows where another program has written no value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dp_assets.interchange.column_names import shown_names
from dp_assets.interchange.table_batches import TableFileError

Policy = Literal["drop_features", "drop_rows", "fail"]

MOST_MISSING_CELLS = 0.05
"""Share of cells that may miss a feature before the feature is left out (pycytominer's `drop_na_columns`).

In tables of millions of cells hardly a feature has a value everywhere: cells of a few pixels have no texture.
"""

FEATURES_LEFT_OUT = "features with missing values"
ROWS_LEFT_OUT = "rows with missing values"
ROWS_WITHOUT_VALUES = "rows without any value"
ROWS_MOSTLY_MISSING = "rows that miss more than half of the features"


@dataclass(frozen=True)
class MissingValues:
    """How often each feature has no finite value.

    Attributes
    ----------
    features : names.
    counts : (features,) rows that miss it, of those with a value of any feature.
    rows : how many these are.
    """

    features: tuple[str, ...]
    counts: np.ndarray
    rows: int

    def kept(self, policy: Policy, *, cells: bool) -> np.ndarray:
        """(features,) bool, the features that stay.

        With "drop_features" those without any missing value; of cells, those that at most 5 % miss. With the
        other policies, all.

        Raises
        ------
        TableFileError : no feature would be left.
        """
        if policy != "drop_features":
            return np.ones(len(self.features), dtype=bool)
        kept = self.counts <= (MOST_MISSING_CELLS * self.rows if cells else 0)
        if not kept.any():
            least = int(self.counts.argmin())
            raise TableFileError(
                f"every feature misses values; {shown_names([self.features[least]])} has the fewest: "
                f"{self.counts[least]:,} of {self.rows:,} rows",
                where="features.missing_values",
                remedy='write "missing_values": "drop_rows", or name the features that have values in '
                "features.feature_columns",
            )
        return kept

    def left_out(self, kept: np.ndarray) -> tuple[str, ...]:
        """The names of the features that do not stay."""
        return tuple(name for name, stays in zip(self.features, kept, strict=True) if not stays)


def mostly_missing(finite: np.ndarray) -> np.ndarray:
    """Rows that have values, but of less than half of the features.

    Wells without cells: a few measurements are 0 there, the others are missing. Were they kept, hardly a
    feature would have a value everywhere. Features that no row has do not count.

    Parameters
    ----------
    finite : (rows, features) bool, where there is a value.

    Returns
    -------
    (rows,) bool.
    """
    known = finite.any(axis=0).sum()
    present = finite.sum(axis=1)
    return (present > 0) & (2 * present < known)


def missing_value(features: Sequence[str], values: np.ndarray, where: str, column: int) -> TableFileError:
    """The error of the policy "fail" for a row's value of one feature."""
    return TableFileError(
        f"the value is missing or infinite ({values[column]})",
        where=f"{where}, column {shown_names([features[column]])}",
        remedy='write "missing_values": "drop_features" or "drop_rows" in the section features',
    )
