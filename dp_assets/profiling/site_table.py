"""Site profiles as a table: the features of a site's cells in one row, with the site's annotations."""

from dataclasses import dataclass

import pyarrow as pa

from dp_assets.config.protocol import CellAggregation
from dp_assets.profiling.annotated_profiles import annotated_profiles, one_plate, place
from dp_assets.storage.schemas import SITE_PROFILES
from dp_assets.storage.tables import StoredTable


@dataclass(frozen=True)
class SiteTable:
    """The profiles of the sites of a plate, or of several plates.

    Attributes
    ----------
    table : schema `site_profiles`, one row per site with enough cells, in the order of the features; with the
        annotations that have one value in every site, and `Metadata_Cell_Count`.
    cells : (well, site) -> cells that went into its profile. Where the annotations cover several plates the
        well is written `plate/well`.
    missing : sites of the annotations without a profile, as `well/site` (or `plate/well/site`).
    excluded_cells : cells left out because a feature was not finite.
    outlier_cells : cells left out because they lie far from their well's median cell.
    """

    table: pa.Table
    cells: dict[tuple[str, str], int]
    missing: tuple[str, ...]
    excluded_cells: int
    outlier_cells: int


def site_table(features: StoredTable, annotations: pa.Table, cells: CellAggregation) -> SiteTable:
    """Aggregate cell features site by site; memory holds one row group and one well at a time.

    Parameters
    ----------
    features : table of schema `cell_features`; the cells of a well lie together.
    annotations : table of schema `plate_annotations`. All its columns are carried over that have one value in
        every site, also those that differ between the sites of a well.
    cells : `aggregation`, `minimum_cells_per_site` and `outlier_cells` are used. `minimum_cells` counts the
        cells of a well and does not bear on sites; it is heeded where wells are made of sites. Outliers are
        those among the cells of the whole well (`outlier_cells.typical_cells`), so that sites and wells leave
        out the same cells.

    Raises
    ------
    StoreError : the features are damaged, or of sites that the annotations do not list.
    """
    made = annotated_profiles(features, annotations, "site", cells)
    profiles = made.profiles
    within = one_plate([*profiles.keys, *made.missing])
    return SiteTable(
        table=SITE_PROFILES.enforce(made.table),
        cells={
            (place(key[:2], within), key[2]): int(count)
            for key, count in zip(profiles.keys, profiles.cells, strict=True)
        },
        missing=tuple(place(key, within) for key in made.missing),
        excluded_cells=profiles.excluded,
        outlier_cells=profiles.outliers,
    )
