"""What an experiment says of treatments: their profiles, and how alike they are."""

import dagster as dg
import numpy as np
import pyarrow as pa

from dp_assets.config.digest import settings_digest
from dp_assets.config.errors import ConfigurationError
from dp_assets.config.experiment import Experiment
from dp_assets.evaluation.profile_table import profile_set
from dp_assets.evaluation.similarity import cosine_similarity
from dp_assets.orchestration.outputs import TableOutput
from dp_assets.orchestration.profile_checks import EXPECTED, FINITE, count_check, finite_check
from dp_assets.orchestration.results import (
    COMMON,
    blocking_checks,
    identified,
    picture,
    schema_check,
    table_checks,
)
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.profiling.treatments import treatment_table
from dp_assets.storage.profile_columns import BATCH, COMPOUND, LABEL, TREATMENT
from dp_assets.storage.tables import read_provenance


def treatment_profiles_asset(experiment: Experiment) -> dg.AssetsDefinition:
    """One profile per treatment."""
    protocol = experiment.scoring().profiles
    key = dg.AssetKey([experiment.name, "treatment_profiles"])
    source = "corrected_sites" if protocol.treatments.source == "site" else "profiles"

    @dg.asset(
        key=key,
        group_name=experiment.name,
        **COMMON,
        kinds={"parquet"},
        io_manager_key="table_io",
        code_version=settings_digest(protocol.treatments) + settings_digest(protocol.expected),
        ins={"source": dg.AssetIn([experiment.name, source])},
        check_specs=[*table_checks(key, EXPECTED), *blocking_checks(key, FINITE)],
        description=(
            f"One row per treatment: the {protocol.treatments.aggregation} of its "
            f"{protocol.treatments.source}s' corrected profiles. Controls are left out."
        ),
    )
    def treatment_profiles(source: pa.Table) -> dg.MaterializeResult:
        with user_errors(experiment):
            treatments = treatment_table(source, protocol.treatments)
            if not treatments.num_rows:
                raise _no_treatments(source)
        table, version = identified(treatments)
        labels = {label for label in table[LABEL].to_pylist() if label}
        return dg.MaterializeResult(
            value=TableOutput(
                table,
                lambda _: {
                    "treatments": table.num_rows,
                    "compounds": len(set(table[COMPOUND].to_pylist())),
                    "labels": len(labels),
                },
            ),
            data_version=version,
            check_results=[
                schema_check(table, "treatment_profiles"),
                finite_check(table),
                count_check(table, protocol.expected),
            ],
        )

    return treatment_profiles


def _no_treatments(source: pa.Table) -> ConfigurationError:
    left_out = read_provenance(source.schema).get("left_out", {})
    reasons = "; ".join(f"{reason}: {rows}" for reason, rows in left_out.items())
    return ConfigurationError(
        f"there is no treatment: all {source.num_rows} profiles are controls"
        + (f" (left out were {reasons})" if reasons else ""),
        where="profiles.control_values",
        remedy="correct profiles.control_field and control_values, or the columns of treatments and labels",
    )


def similarity_asset(experiment: Experiment) -> dg.AssetsDefinition:
    """Cosine similarity between all treatments."""
    key = dg.AssetKey([experiment.name, "similarity"])

    @dg.asset(
        key=key,
        group_name=experiment.name,
        **COMMON,
        kinds={"parquet"},
        io_manager_key="table_io",
        code_version="1",
        ins={"treatment_profiles": dg.AssetIn([experiment.name, "treatment_profiles"])},
        check_specs=table_checks(key),
        description="Cosine similarity of every pair of treatments: a row and a column for each.",
    )
    def similarity(treatment_profiles: pa.Table) -> dg.MaterializeResult:
        from dp_assets.figures.similarity_clustermap import similarity_clustermap

        treatments = profile_set(treatment_profiles, "treatment")
        values = cosine_similarity(treatments.features)
        columns = {name: treatment_profiles[name] for name in (TREATMENT, COMPOUND, LABEL, BATCH)}
        rows = np.ascontiguousarray(values.T, np.float32)
        table, version = identified(
            pa.table({**columns, **dict(zip(treatments.treatments, map(pa.array, rows), strict=True))})
        )
        return dg.MaterializeResult(
            value=TableOutput(
                table,
                lambda _: {
                    "treatments": table.num_rows,
                    "clustermap": picture(
                        similarity_clustermap(
                            values, treatments.treatments.tolist(), treatments.labels.tolist(), "Similarity"
                        ),
                        "similarity of treatments",
                    ),
                },
            ),
            data_version=version,
            check_results=[schema_check(table, "similarity")],
        )

    return similarity
