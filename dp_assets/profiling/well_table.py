"""Well profiles as a table, from the cells of the wells or from their sites' profiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dp_assets.config.errors import ConfigurationError, Problem
from dp_assets.config.protocol import CellAggregation
from dp_assets.profiling.aggregation import Key, summary
from dp_assets.profiling.annotated_profiles import (
    KEYS,
    annotated_groups,
    annotated_profiles,
    one_plate,
    place,
)
from dp_assets.profiling.profile_tables import (
    Texts,
    feature_array,
    feature_names,
    metadata_names,
    profile_table,
)
from dp_assets.profiling.row_groups import RowGroups, group_rows, shared_values, summed_counts
from dp_assets.storage.profile_columns import CELL_COUNT, REPLICATE, ROLES, SITE_COUNT
from dp_assets.storage.schemas import SITE, WELL_PROFILES
from dp_assets.storage.tables import StoredTable


@dataclass(frozen=True)
class WellTable:
    """The profiles of the wells of a plate, or of several plates.

    Attributes
    ----------
    table : schema `well_profiles`, one row per well with enough cells, in the order of the features.
    cells : well -> cells that went into its profile, where that is known. In a table of several plates the
        well is written `plate/well`.
    missing : wells without a profile, written in the same way.
    excluded_cells : cells left out because a feature was not finite; 0 for wells made of sites.
    outlier_cells : cells left out because they lie far from their well's median cell; 0 for wells made of
        sites.
    """

    table: pa.Table
    cells: dict[str, int]
    missing: tuple[str, ...]
    excluded_cells: int
    outlier_cells: int


def well_table(features: StoredTable, annotations: pa.Table, cells: CellAggregation) -> WellTable:
    """Aggregate all cells of each well at once; memory holds one row group and one well at a time.

    Parameters
    ----------
    features : table of schema `cell_features`; the cells of a well lie together.
    annotations : table of schema `plate_annotations`; columns that have one value in every well are carried
        over.
    cells : `aggregation`, `minimum_cells` and `outlier_cells` are used; `well_aggregation` is "cells". Sites
        get no profile of their own here, so `minimum_cells_per_site` does not bear on it.

    Raises
    ------
    StoreError : the features are damaged, or of wells that the annotations do not list.
    ValueError : wells are to be made of sites (see `wells_of_sites`).
    """
    if cells.well_aggregation != "cells":
        raise ValueError(f"Expected well_aggregation 'cells'. Received {cells.well_aggregation!r}.")
    made = annotated_profiles(features, annotations, "well", cells)
    profiles = made.profiles
    within = one_plate([*profiles.keys, *made.missing])
    return WellTable(
        table=WELL_PROFILES.enforce(made.table),
        cells={
            place(key, within): int(count) for key, count in zip(profiles.keys, profiles.cells, strict=True)
        },
        missing=tuple(place(key, within) for key in made.missing),
        excluded_cells=profiles.excluded,
        outlier_cells=profiles.outliers,
    )


def wells_of_sites(sites: pa.Table, annotations: pa.Table | None, cells: CellAggregation) -> WellTable:
    """Mean or median of the sites' profiles of each well; every site counts the same.

    The published Cell Painting protocol takes the median over the cells of a site, then the mean over the
    sites of a well; that of BBBC021 the mean twice.

    Parameters
    ----------
    sites : table of schema `site_profiles` or `corrected_sites`, of one plate or more; finite features.
    annotations : table of schema `plate_annotations`, whose columns are carried over when they have one value
        in every well; None when the sites are all that is known. Columns that only the sites have are carried
        in the same way. What differs between the sites of a well (such as the site itself) is dropped.
    cells : `well_aggregation` ("mean" or "median") and `minimum_cells` are used: a well needs so many cells
        in the sites that have a profile. Where the sites do not tell their `Metadata_Cell_Count`, every
        well is kept.

    Returns
    -------
    Wells in order of first appearance. `Metadata_Cell_Count` is the sum over the sites ("" where unknown),
    `Metadata_Site_Count` the number of sites.

    Raises
    ------
    StoreError : there are sites of wells that the annotations do not list.
    ConfigurationError : the sites have role columns, and those of a well differ in what they are.
    ValueError : wells are to be made of cells (see `well_table`).
    """
    if cells.well_aggregation == "cells":
        raise ValueError("Expected well_aggregation 'mean' or 'median'. Received 'cells'.")
    groups = group_rows(sites, KEYS["well"])
    facts, listed = _well_facts(sites, groups, annotations)
    counts = summed_counts(sites, groups, CELL_COUNT)
    kept = [number for number, count in enumerate(counts) if count is None or count >= cells.minimum_cells]
    names = feature_names(sites)
    values = feature_array(sites, names)
    rows = list(groups.rows())
    profiles = np.array(
        [summary(values[rows[number]], cells.well_aggregation) for number in kept], np.float32
    ).reshape(len(kept), len(names))
    keys = [groups.keys[number] for number in kept]
    metadata: dict[str, Texts] = {
        **{name: [key[part] for key in keys] for part, name in enumerate(KEYS["well"])},
        **{name: [column[number] for number in kept] for name, column in facts.items()},
        CELL_COUNT: ["" if counts[number] is None else str(counts[number]) for number in kept],
        SITE_COUNT: [str(len(rows[number])) for number in kept],
    }
    within = one_plate(listed)
    profiled = set(keys)
    return WellTable(
        table=WELL_PROFILES.enforce(profile_table(metadata, profiles, names)),
        cells={
            place(groups.keys[number], within): count
            for number in kept
            if (count := counts[number]) is not None
        },
        missing=tuple(place(key, within) for key in listed if key not in profiled),
        excluded_cells=0,
        outlier_cells=0,
    )


def _well_facts(
    sites: pa.Table, groups: RowGroups, annotations: pa.Table | None
) -> tuple[dict[str, Texts], Sequence[Key]]:
    """column -> value of each well, and all wells there should be."""
    facts: dict[str, Texts] = {}
    listed: Sequence[Key] = groups.keys
    known = {*KEYS["well"], SITE, CELL_COUNT, SITE_COUNT}
    if annotations is not None:
        facts, listed = annotated_groups(annotations, "well", groups.keys, "site_profiles")
        known |= set(metadata_names(annotations))
    own = [name for name in metadata_names(sites) if name not in known]
    facts |= shared_values(sites, groups, own)
    if not set(ROLES) <= set(sites.column_names):
        return facts, listed
    _require_roles(sites, groups, [name for name in ROLES if name != REPLICATE and name not in facts])
    # Sites may count as replicates of their own; the well is none of them.
    return {REPLICATE: [""] * len(groups.keys)} | facts, listed


def _require_roles(sites: pa.Table, groups: RowGroups, differing: Sequence[str]) -> None:
    problems = []
    for name in differing:
        values = sites[name].to_pylist()
        for (plate, well), rows in zip(groups.keys, groups.rows(), strict=True):
            found = list(dict.fromkeys(values[row] for row in rows))
            if len(found) > 1:
                shown = ", ".join(f'"{value}"' for value in found)
                problems.append(
                    Problem(
                        f"the sites of a well differ in {name}: {shown}",
                        f"plate {plate}, well {well}",
                        "Correct the image index or the annotations, so that a well is one thing.",
                    )
                )
    if problems:
        raise ConfigurationError(problems)
