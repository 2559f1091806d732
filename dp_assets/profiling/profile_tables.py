"""Profile tables taken apart and put together: `Metadata_*` strings, then float32 features."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from dp_assets.storage.profile_parts import METADATA, feature_names, metadata_names

__all__ = ["METADATA", "Texts", "feature_array", "feature_names", "metadata_names", "profile_table"]

Texts = Sequence[str | None]


def feature_array(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """(rows, features) float32, C order; null becomes NaN."""
    # float32 as stored: a row group of cells of a wide network fills a good part of the memory already.
    array = np.empty((table.num_rows, len(names)), np.float32)
    for column, name in enumerate(names):
        array[:, column] = table[name].to_numpy()
    return array


def profile_table(metadata: Mapping[str, Texts], features: np.ndarray, names: Sequence[str]) -> pa.Table:
    """A table of `metadata` (name -> text of each row) and `features`, (rows, features) as float32."""
    by_feature = np.ascontiguousarray(features.T, np.float32) if len(features) else [()] * len(names)
    return pa.table(
        {
            **{name: pa.array(values, pa.string()) for name, values in metadata.items()},
            **{name: pa.array(values, pa.float32()) for name, values in zip(names, by_feature, strict=True)},
        }
    )
