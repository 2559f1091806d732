"""The two halves of a profile table: what a row is, and its features."""

import numpy as np
import pyarrow as pa

METADATA = "Metadata_"


def metadata_names(table: pa.Table) -> list[str]:
    """The columns that say what a row is, in order."""
    return [name for name in table.column_names if name.startswith(METADATA)]


def feature_names(table: pa.Table) -> list[str]:
    """All other columns, in order."""
    return [name for name in table.column_names if not name.startswith(METADATA)]


def feature_array(table: pa.Table) -> np.ndarray:
    """The features as (rows, features) float32."""
    names = feature_names(table)
    if not names:
        return np.empty((table.num_rows, 0), np.float32)
    return np.stack([table[name].to_numpy().astype(np.float32, copy=False) for name in names], axis=1)
