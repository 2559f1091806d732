"""From a stored table of profiles to what the scores take."""

import numpy as np
import pyarrow as pa

from dp_assets.config.errors import StoreError
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.storage.profile_columns import (
    BATCH,
    COMPOUND,
    CONCENTRATION,
    CONTROL,
    IS_CONTROL,
    LABEL,
    PLATES,
    TREATMENT,
)
from dp_assets.storage.schemas import PLATE, WELL

_METADATA = "Metadata_"


def profile_set(table: pa.Table, level: str) -> ProfileSet:
    """The profiles of a table with role columns.

    Parameters
    ----------
    table : schema `corrected_sites`, `profiles` or `treatment_profiles`: every column that is not named
        `Metadata_*` is a feature. A role that is not there is "" in every row.
    level : "site", "well" or "treatment". Plates of treatments are those of `Metadata_Plates`; treatments
        have no wells.

    Raises
    ------
    StoreError : a feature that is not finite.
    """
    names = [name for name in table.column_names if not name.startswith(_METADATA)]
    features = np.empty((table.num_rows, len(names)), np.float64)
    for position, name in enumerate(names):
        features[:, position] = table[name].to_numpy()
    _refuse_not_finite(features, names, _text(table, TREATMENT), level)
    of_treatments = level == "treatment"
    return ProfileSet(
        level=level,
        features=features,
        names=np.array(names, object),
        treatments=_text(table, TREATMENT),
        compounds=_text(table, COMPOUND),
        labels=_text(table, LABEL),
        batches=_text(table, BATCH),
        plates=_text(table, PLATES if of_treatments else PLATE),
        wells=_text(table, "" if of_treatments else WELL),
        is_control=_text(table, CONTROL) == IS_CONTROL,
        concentrations=_text(table, CONCENTRATION),
    )


def _text(table: pa.Table, column: str) -> np.ndarray:
    if column not in table.column_names:
        return np.full(table.num_rows, "", object)
    return np.array([value or "" for value in table[column].to_pylist()], object)


def _refuse_not_finite(features: np.ndarray, names: list[str], treatments: np.ndarray, level: str) -> None:
    finite = np.isfinite(features)
    if finite.all():
        return
    row, column = np.argwhere(~finite)[0]
    raise StoreError(
        f"{int((~finite).sum())} values are not finite, the first is {features[row, column]}",
        where=f"{level} profiles: row {row} ({treatments[row] or 'no treatment'}), feature {names[column]}",
        remedy="materialize the profiles again; if it stays, leave the feature out with feature selection",
    )
