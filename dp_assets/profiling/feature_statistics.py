"""Features that are no numbers, and features that say nothing, found while a table passes by."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from dp_assets.storage.schemas import WELL

SHOWN = 50


def feature_statistics(row_groups: Iterable[pa.Table]) -> dict[str, Any]:
    """What is wrong with the features of a table, one row group in memory at a time.

    Parameters
    ----------
    row_groups : tables of schema `cell_features`.

    Returns
    -------
    JSON-able: `cells`, `features`; `not_finite_features`, `not_finite` ({feature: cells}) and
    `not_finite_wells` ({well: cells}), the worst 50 each; `constant_features`, and `constant`, the first 50.
    Of a single cell no feature counts as constant.
    """
    cells = 0
    bad: Counter[str] = Counter()
    wells: Counter[str] = Counter()
    lowest: dict[str, float] = {}
    highest: dict[str, float] = {}
    for group in row_groups:
        cells += group.num_rows
        bad_rows = np.zeros(group.num_rows, bool)
        for name in group.column_names:
            if name.startswith("Metadata_") or not group.num_rows:
                continue
            values = group[name].to_numpy()
            finite = np.isfinite(values)
            if not finite.all():
                bad[name] += int((~finite).sum())
                bad_rows |= ~finite
            # NaN and infinity make the extremes differ, which is right: such a feature is not constant.
            lowest[name] = min(lowest.get(name, np.inf), float(np.nan_to_num(values.min(), nan=-np.inf)))
            highest[name] = max(highest.get(name, -np.inf), float(np.nan_to_num(values.max(), nan=np.inf)))
        if bad_rows.any():
            wells.update(group[WELL].filter(pa.array(bad_rows)).to_pylist())
    constant = [name for name in lowest if lowest[name] == highest[name]] if cells > 1 else []
    return {
        "cells": cells,
        "features": len(lowest),
        "not_finite_features": len(bad),
        "not_finite": dict(bad.most_common(SHOWN)),
        "not_finite_wells": dict(wells.most_common(SHOWN)),
        "constant_features": len(constant),
        "constant": constant[:SHOWN],
    }
