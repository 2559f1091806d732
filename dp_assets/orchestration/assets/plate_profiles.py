"""A plate's profiles: of its sites and of its wells."""

import dagster as dg
import pyarrow as pa

from dp_assets.config.digest import settings_digest
from dp_assets.config.experiment import Experiment
from dp_assets.config.protocol import CellAggregation
from dp_assets.orchestration.outputs import Metadata, TableOutput
from dp_assets.orchestration.partitions import plates
from dp_assets.orchestration.results import COMMON, check, identified, picture, schema_check, table_checks
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.profiling.site_table import SiteTable, site_table
from dp_assets.profiling.well_table import WellTable, well_table, wells_of_sites
from dp_assets.storage.tables import StoredTable, read_provenance, with_provenance

LAZY = {"lazy": True}


def site_profiles_asset(experiment: Experiment) -> dg.AssetsDefinition:
    """The site profiles of a plate."""
    cells = experiment.scoring().profiles.cells
    key = dg.AssetKey([experiment.name, "site_profiles"])

    @dg.asset(
        key=key,
        group_name=experiment.name,
        **COMMON,
        kinds={"parquet"},
        partitions_def=plates,
        io_manager_key="table_io",
        code_version=settings_digest(_of_sites(cells)),
        ins={
            "cell_features": dg.AssetIn([experiment.name, "cell_features"], metadata=LAZY),
            "plate_annotations": dg.AssetIn(),
        },
        check_specs=table_checks(key, "sites_profiled"),
        description=f"One row per field of view: the {cells.aggregation} of its cells' features.",
    )
    def site_profiles(cell_features: StoredTable, plate_annotations: pa.Table) -> dg.MaterializeResult:
        with user_errors():
            sites = site_table(cell_features, plate_annotations, cells)
        table, version = identified(with_origin(sites.table, cell_features.schema()))
        return dg.MaterializeResult(
            value=TableOutput(table, lambda _: _site_facts(sites)),
            data_version=version,
            check_results=[
                schema_check(table, "site_profiles"),
                check(
                    "sites_profiled", not sites.missing, without_profile=", ".join(sites.missing) or "none"
                ),
            ],
        )

    return site_profiles


def well_profiles_asset(experiment: Experiment) -> dg.AssetsDefinition:
    """The well profiles of a plate, from its cells or from its sites."""
    cells = experiment.scoring().profiles.cells
    key = dg.AssetKey([experiment.name, "well_profiles"])
    of_cells = cells.well_aggregation == "cells"
    source = "cell_features" if of_cells else "site_profiles"
    what = (
        f"{cells.aggregation} of its cells' features"
        if of_cells
        else f"{cells.well_aggregation} of its sites' profiles"
    )

    @dg.asset(
        key=key,
        group_name=experiment.name,
        **COMMON,
        kinds={"parquet"},
        partitions_def=plates,
        io_manager_key="table_io",
        code_version=settings_digest(cells),
        ins={
            "source": dg.AssetIn([experiment.name, source], metadata=LAZY),
            "plate_annotations": dg.AssetIn(),
        },
        check_specs=table_checks(key, "wells_complete"),
        description=(
            f"One row per well: the {what}, with the annotations that hold for the whole well. "
            "Reads straight into pycytominer and copairs."
        ),
    )
    def well_profiles(
        context: dg.AssetExecutionContext, source: StoredTable, plate_annotations: pa.Table
    ) -> dg.MaterializeResult:
        with user_errors():
            wells = (
                well_table(source, plate_annotations, cells)
                if of_cells
                else wells_of_sites(source.read(), plate_annotations, cells)
            )
        table, version = identified(with_origin(wells.table, source.schema()))
        return dg.MaterializeResult(
            value=TableOutput(table, lambda _: _well_facts(wells, context.partition_key)),
            data_version=version,
            check_results=[
                schema_check(table, "well_profiles"),
                check(
                    "wells_complete", not wells.missing, without_profile=", ".join(wells.missing) or "none"
                ),
            ],
        )

    return well_profiles


def with_origin(table: pa.Table, source: pa.Schema) -> pa.Table:
    """The table with the model and layer that its features come from, as its source says."""
    facts = read_provenance(source)
    return with_provenance(table, **{name: facts[name] for name in ("model", "layer") if name in facts})


def _of_sites(cells: CellAggregation) -> CellAggregation:
    """Without what only wells depend on."""
    usual = CellAggregation()
    return cells.model_copy(
        update={"well_aggregation": usual.well_aggregation, "minimum_cells": usual.minimum_cells}
    )


def _site_facts(sites: SiteTable) -> Metadata:
    return {
        "sites": len(sites.cells),
        "cells": sum(sites.cells.values()),
        "excluded_cells": sites.excluded_cells,
        "outlier_cells": sites.outlier_cells,
    }


def _well_facts(wells: WellTable, plate: str) -> Metadata:
    from dp_assets.figures.plate_heatmap import plate_heatmap

    counts = {name: float(count) for name, count in wells.cells.items()}
    return {
        "wells": len(wells.cells),
        "cells": sum(wells.cells.values()),
        "excluded_cells": wells.excluded_cells,
        "outlier_cells": wells.outlier_cells,
        "cell_counts": picture(
            plate_heatmap(counts, f"{plate}: cells per profile", "cells"), "cells per well"
        ),
    }
