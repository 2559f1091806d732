"""Profiles made from a plate's cells, with what the annotations say of each site or well."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dp_assets.config.errors import StoreError
from dp_assets.config.protocol import CellAggregation, Level
from dp_assets.profiling.aggregation import CellBatch, CellProfiles, Key, aggregate_cells
from dp_assets.profiling.profile_tables import Texts, feature_array, metadata_names, profile_table
from dp_assets.profiling.row_groups import group_rows, shared_values
from dp_assets.storage.profile_columns import CELL_COUNT
from dp_assets.storage.schemas import CELL_KEY, PLATE, SITE, SITE_KEY, WELL
from dp_assets.storage.tables import StoredTable

KEYS: dict[Level, tuple[str, ...]] = {"well": (PLATE, WELL), "site": SITE_KEY}


@dataclass(frozen=True)
class AnnotatedProfiles:
    """Profiles of one level.

    Attributes
    ----------
    table : key columns, annotations, `Metadata_Cell_Count`, features.
    profiles : what was aggregated, with its counts.
    missing : keys of the annotations without a profile.
    """

    table: pa.Table
    profiles: CellProfiles
    missing: tuple[Key, ...]


def annotated_profiles(
    features: StoredTable, annotations: pa.Table, level: Level, cells: CellAggregation
) -> AnnotatedProfiles:
    """Aggregate a table of cells and carry over the annotations that have one value in every site or well.

    Raises
    ------
    StoreError : the features are damaged, or of sites or wells that the annotations do not list.
    """
    names = [name for name in features.schema().names if name not in CELL_KEY]
    profiles = aggregate_cells(
        _batches(features, names),
        level,
        cells.aggregation,
        minimum_cells=cells.minimum_cells if level == "well" else cells.minimum_cells_per_site,
        outlier_cells=cells.outlier_cells,
    )
    facts, listed = annotated_groups(annotations, level, profiles.keys, str(features.path))
    metadata: dict[str, Texts] = {
        **{name: [key[part] for key in profiles.keys] for part, name in enumerate(KEYS[level])},
        **facts,
        CELL_COUNT: [str(count) for count in profiles.cells],
    }
    found = set(profiles.keys)
    return AnnotatedProfiles(
        table=profile_table(metadata, profiles.features, names),
        profiles=profiles,
        missing=tuple(key for key in listed if key not in found),
    )


def annotated_groups(
    annotations: pa.Table, level: Level, keys: Sequence[Key], where: str
) -> tuple[dict[str, Texts], list[Key]]:
    """What the annotations say of `keys` (column -> value of each), and all keys that they list.

    Raises
    ------
    StoreError : some of `keys` are not among the annotations.
    """
    groups = group_rows(annotations, KEYS[level])
    position = {key: number for number, key in enumerate(groups.keys)}
    unknown = [key for key in keys if key not in position]
    if unknown:
        shown = ", ".join(place(key, one_plate(groups.keys)) for key in unknown)
        raise StoreError(
            f"there are features of {level}s that the image index does not list: {shown}",
            where=where,
            remedy="materialize cell_features of this plate again",
        )
    own = [name for name in metadata_names(annotations) if name not in (*KEYS[level], SITE, CELL_COUNT)]
    shared = shared_values(annotations, groups, own)
    rows = [position[key] for key in keys]
    return {name: [values[row] for row in rows] for name, values in shared.items()}, groups.keys


def one_plate(keys: Sequence[Key]) -> bool:
    """Whether all keys are of the same plate."""
    return len({key[0] for key in keys}) < 2


def place(key: Key, within_plate: bool) -> str:
    """A well or site as messages name it: `B02` and `B02/1` within a plate, else `P1/B02` and `P1/B02/1`."""
    return "/".join(key[1:] if within_plate else key)


def _batches(features: StoredTable, names: list[str]) -> Iterator[CellBatch]:
    for group in features.row_groups():
        keys = np.array([group[name].to_pylist() for name in SITE_KEY], dtype=object)
        yield keys.T, feature_array(group, names)
