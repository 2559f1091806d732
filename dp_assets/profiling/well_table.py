"""Well profiles as a table: the aggregated features with the annotations that hold for the whole well."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dp_assets.config.errors import StoreError
from dp_assets.profiling.aggregation import Aggregation, aggregate_wells
from dp_assets.storage.schemas import CELL_KEY, PLATE, SITE, WELL, WELL_PROFILES
from dp_assets.storage.tables import StoredTable

CELL_COUNT = "Metadata_Cell_Count"


@dataclass(frozen=True)
class WellTable:
    """The profiles of a plate.

    Attributes
    ----------
    table : schema `well_profiles`, one row per well with enough cells, in plate order.
    cells : well -> cells that went into its profile.
    missing : wells of the annotations without a profile.
    excluded_cells : cells left out because a feature was not finite.
    """

    table: pa.Table
    cells: dict[str, int]
    missing: tuple[str, ...]
    excluded_cells: int


def well_table(
    features: StoredTable, annotations: pa.Table, method: Aggregation, minimum_cells: int
) -> WellTable:
    """Aggregate a plate's cell features well by well; memory holds one row group and one well at a time.

    Parameters
    ----------
    features : table of schema `cell_features`; wells lie together.
    annotations : table of schema `plate_annotations`; columns that are constant within every well are carried
        over.
    method : "mean" or "median" over cells.
    minimum_cells : wells with fewer usable cells get no profile.

    Raises
    ------
    StoreError : the features are damaged, or of wells that the annotations do not list.
    """
    schema = features.schema()
    names = [name for name in schema.names if name not in CELL_KEY]
    profiles = aggregate_wells(_batches(features, names), method, minimum_cells)
    facts = _well_annotations(annotations)
    wells = profiles.wells
    unknown = [well for well in wells if well not in facts[WELL]]
    if unknown:
        raise StoreError(
            f"there are features of wells that the image index does not list: {', '.join(unknown)}",
            where=str(features.path),
            remedy="materialize cell_features of this plate again",
        )
    plate = annotations[PLATE][0].as_py()
    constant = [name for name in facts if name not in (PLATE, WELL)]
    arrays = {
        PLATE: pa.array([plate] * len(wells), pa.string()),
        WELL: pa.array(wells, pa.string()),
        **{name: pa.array([facts[name][well] for well in wells], pa.string()) for name in constant},
        CELL_COUNT: pa.array([str(count) for count in profiles.cells], pa.string()),
    }
    by_feature = np.ascontiguousarray(profiles.features.T) if wells else np.empty((len(names), 0), np.float32)
    arrays |= {name: pa.array(values, pa.float32()) for name, values in zip(names, by_feature, strict=True)}
    listed = list(dict.fromkeys(annotations[WELL].to_pylist()))
    return WellTable(
        table=WELL_PROFILES.enforce(pa.table(arrays)),
        cells=dict(zip(wells, map(int, profiles.cells), strict=True)),
        missing=tuple(well for well in listed if well not in set(wells)),
        excluded_cells=profiles.excluded,
    )


def _batches(features: StoredTable, names: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for group in features.row_groups():
        wells = np.asarray(group[WELL].to_pylist(), dtype=object)
        yield wells, np.stack([group[name].to_numpy() for name in names], axis=1)


def _well_annotations(annotations: pa.Table) -> dict[str, dict[str, str]]:
    """column -> well -> value, for the columns that have one value per well."""
    wells = annotations[WELL].to_pylist()
    constant = {}
    for name in annotations.column_names:
        values: dict[str, set[str]] = {}
        for well, value in zip(wells, annotations[name].to_pylist(), strict=True):
            values.setdefault(well, set()).add(value)
        if name != SITE and all(len(found) == 1 for found in values.values()):
            constant[name] = {well: next(iter(found)) for well, found in values.items()}
    return constant
