"""Where the wells and treatments of an experiment lie on a map."""

import dagster as dg
import numpy as np
import pyarrow as pa

from dp_assets.config.digest import settings_digest
from dp_assets.config.experiment import Experiment
from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.profile_table import profile_set
from dp_assets.evaluation.projection import project
from dp_assets.orchestration.map_pictures import COORDINATES, LEVEL, map_pictures
from dp_assets.orchestration.outputs import TableOutput
from dp_assets.orchestration.results import COMMON, identified, schema_check, table_checks
from dp_assets.storage.profile_columns import BATCH, COMPOUND, CONTROL, LABEL, PLATES, TREATMENT
from dp_assets.storage.schemas import PLATE, WELL

_KEPT = (TREATMENT, COMPOUND, LABEL, BATCH, CONTROL)


def profile_map_asset(experiment: Experiment) -> dg.AssetsDefinition:
    """UMAP and t-SNE coordinates of wells and treatments."""
    protocol = experiment.scoring().evaluation
    key = dg.AssetKey([experiment.name, "profile_map"])

    @dg.asset(
        key=key,
        group_name=experiment.name,
        **COMMON,
        kinds={"parquet"},
        io_manager_key="table_io",
        code_version=settings_digest(protocol.tsne)
        + settings_digest(protocol.umap)
        + f"{protocol.settings.seed}{'-compat' if protocol.settings.compat else ''}"
        + "-".join(protocol.exclude_from_wells),
        ins={name: dg.AssetIn([experiment.name, name]) for name in ("profiles", "treatment_profiles")},
        check_specs=table_checks(key),
        description="Where wells and treatments lie on two maps (UMAP and t-SNE, cosine distance).",
    )
    def profile_map(profiles: pa.Table, treatment_profiles: pa.Table) -> dg.MaterializeResult:
        shown = shown_wells(profiles, protocol)
        wells, notes = _mapped(shown, "well", protocol)
        treatments, more = _mapped(treatment_profiles, "treatment", protocol)
        table, version = identified(pa.concat_tables([wells, treatments], promote_options="default"))
        return dg.MaterializeResult(
            value=TableOutput(
                table,
                lambda _: {
                    "wells": wells.num_rows,
                    "treatments": treatments.num_rows,
                    "notes": "; ".join((*notes, *more)) or "none",
                    **map_pictures(table),
                },
            ),
            data_version=version,
            check_results=[schema_check(table, "profile_map")],
        )

    return profile_map


def shown_wells(profiles: pa.Table, protocol: EvaluationProtocol) -> pa.Table:
    """The wells without the compounds that the protocol leaves out of what is shown well by well."""
    hidden = {name.casefold() for name in protocol.exclude_from_wells}
    shown = [name.casefold() not in hidden for name in profiles[COMPOUND].to_pylist()]
    return profiles.filter(pa.array(shown, pa.bool_()))


def _mapped(table: pa.Table, level: str, protocol: EvaluationProtocol) -> tuple[pa.Table, tuple[str, ...]]:
    found = project(
        profile_set(table, level).features,
        perplexity=protocol.tsne.perplexity,
        n_neighbors=protocol.umap.n_neighbors,
        min_dist=protocol.umap.min_dist,
        seed=protocol.settings.seed,
        compat=protocol.settings.compat,
    )
    empty = pa.array([""] * table.num_rows, pa.string())
    plate = PLATE if level == "well" else PLATES
    coordinates = np.concatenate([found.umap, found.tsne], axis=1).astype(np.float32)
    columns = {
        LEVEL: pa.array([level] * table.num_rows, pa.string()),
        PLATE: table[plate] if plate in table.column_names else empty,
        WELL: table[WELL] if level == "well" else empty,
        **{name: table[name] for name in _KEPT},
        **{name: pa.array(column) for name, column in zip(COORDINATES, coordinates.T, strict=True)},
    }
    return pa.table(columns), tuple(f"{level}s: {note}" for note in found.notes)
