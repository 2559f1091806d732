"""Profiles from another program's feature tables: the beginning of an experiment without images."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from dp_assets.config.digest import settings_digest
from dp_assets.config.experiment import Experiment
from dp_assets.config.profile_sections import FeaturesSettings
from dp_assets.config.protocol import CellAggregation, ProfileProtocol
from dp_assets.interchange.annotation_tables import read_annotation
from dp_assets.interchange.external_profiles import ExternalFeatures, read_external
from dp_assets.orchestration.outputs import Metadata, TableOutput
from dp_assets.orchestration.profile_inputs import annotation_digest
from dp_assets.orchestration.progress import reporter
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import COMMON, identified, schema_check, table_checks
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.profiling.all_plates import join_plates
from dp_assets.profiling.site_table import site_table
from dp_assets.profiling.well_table import well_table, wells_of_sites
from dp_assets.storage.profile_columns import CELL_COUNT
from dp_assets.storage.schemas import PLATE, SITE, WELL
from dp_assets.storage.tables import with_provenance

FEATURES_FOLDER = "features"
# Tables of wells: each well stands for its one site.
ONLY_SITE = "1"


@dataclass(frozen=True)
class _Made:
    """The two tables with what is told of them."""

    sites: pa.Table
    wells: pa.Table
    facts: Metadata


def external_profiles_asset(experiment: Experiment, root: str) -> dg.AssetsDefinition:
    """Site and well profiles of an experiment whose features come from files."""
    scoring = experiment.scoring()
    features, protocol = scoring.features, scoring.profiles
    assert features is not None
    keys = {name: dg.AssetKey([experiment.name, name]) for name in ("site_profiles", "well_profiles")}

    @dg.multi_asset(
        name=f"{experiment.name}__external_profiles",
        outs={
            name: dg.AssetOut(
                key=key,
                io_manager_key="table_io",
                group_name=experiment.name,
                owners=COMMON["owners"],
                dagster_type=COMMON["dagster_type"],
                kinds={"parquet"},
                code_version=settings_digest(features)
                + settings_digest(protocol.cells)
                + annotation_digest(protocol, root),
                description=_DESCRIPTIONS[name] + ", ".join(features.files),
            )
            for name, key in keys.items()
        },
        check_specs=[spec for key in keys.values() for spec in table_checks(key)],
    )
    def external_profiles(
        context: dg.AssetExecutionContext, project: ProjectResource
    ) -> Iterator[dg.MaterializeResult]:
        with user_errors(experiment):
            made = _read(context, features, protocol, project)
        for name, table in (("site_profiles", made.sites), ("well_profiles", made.wells)):
            described, version = identified(table)
            yield dg.MaterializeResult(
                asset_key=keys[name],
                value=TableOutput(described, lambda _: made.facts),
                data_version=version,
                check_results=[schema_check(described, name, keys[name])],
            )

    return external_profiles


_DESCRIPTIONS = {
    "site_profiles": (
        "One row per field of view of the feature tables; of tables that hold wells, one row per well. From "
    ),
    "well_profiles": "One row per well of the feature tables. From ",
}


def _read(
    context: dg.AssetExecutionContext,
    features: FeaturesSettings,
    protocol: ProfileProtocol,
    project: ProjectResource,
) -> _Made:
    inputs, cells = project.layout.root / "inputs", protocol.cells
    metadata = project.layout.metadata
    # They also say which wells images lie in, where a table has image numbers only.
    annotations = [read_annotation(metadata / name) for name in protocol.annotations]
    with tempfile.TemporaryDirectory() as work:
        found = read_external(
            features, inputs / FEATURES_FOLDER, metadata, Path(work), annotations=annotations
        )
        if found.cell_features is not None:
            sites, wells = _of_cells(context, found, cells)
        elif found.level == "site":
            sites = _with_count(found.table)
            wells = wells_of_sites(sites, None, _over_sites(cells)).table
        else:
            wells = _with_count(found.table)
            sites = wells.add_column(2, SITE, pa.array([ONLY_SITE] * wells.num_rows, pa.string()))
    facts: Metadata = {
        "rows_are": f"{found.level}s",
        "files": ", ".join(map(str, found.sources[:20])),
        "plates": len(found.plates),
        "dropped": dg.MetadataValue.json(dict(found.dropped)),
        "notes": "; ".join(found.notes) or "none",
    }
    origin = {
        "level": found.level,
        "sources": [str(path) for path in found.sources],
        "dropped": dict(found.dropped),
        "content": found.fingerprint,
    }
    return _Made(with_provenance(sites, **origin), with_provenance(wells, **origin), facts)


def _of_cells(
    context: dg.AssetExecutionContext, found: ExternalFeatures, cells: CellAggregation
) -> tuple[pa.Table, pa.Table]:
    """Site and well profiles of tables of cells, a plate at a time."""
    report = reporter(context, "plates")
    sites, wells = {}, {}
    assert found.cell_features is not None
    for number, plate in enumerate(found.plates):
        stored = found.cell_features(plate)
        annotations = found.annotations.filter(pc.equal(found.annotations[PLATE], plate))
        sites[plate] = site_table(stored, annotations, cells).table
        if cells.well_aggregation == "cells":
            wells[plate] = well_table(stored, annotations, cells).table
        else:
            wells[plate] = wells_of_sites(sites[plate], annotations, cells).table
        report(number + 1, len(found.plates))
    return join_plates(sites, "site_profiles"), join_plates(wells, "well_profiles")


def _over_sites(cells: CellAggregation) -> CellAggregation:
    """Tables of sites hold no cells: wells are then summaries of sites."""
    if cells.well_aggregation != "cells":
        return cells
    return cells.model_copy(update={"well_aggregation": cells.aggregation})


def _with_count(table: pa.Table) -> pa.Table:
    """With a column for the number of cells, empty where the table does not say it."""
    if CELL_COUNT in table.column_names:
        return table
    position = table.column_names.index(WELL) + 1
    return table.add_column(position, CELL_COUNT, pa.array([""] * table.num_rows, pa.string()))
