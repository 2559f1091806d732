"""An experiment's features, plate by plate."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import dagster as dg

from dp_assets.config.checks import ChecksSettings
from dp_assets.config.digest import settings_digest
from dp_assets.config.experiment import Experiment
from dp_assets.config.stages import ProfilingSettings
from dp_assets.orchestration.accelerator_resource import AcceleratorResource
from dp_assets.orchestration.feature_checks import FINITE, VARY, feature_checks
from dp_assets.orchestration.feature_companions import companions_of
from dp_assets.orchestration.feature_extractors import extractor_loader
from dp_assets.orchestration.feature_inputs import (
    MODEL,
    checkpoint_of,
    feature_inputs,
    feature_plan,
    features_key,
)
from dp_assets.orchestration.outputs import Metadata, TableOutput, unchanged
from dp_assets.orchestration.partitions import plates
from dp_assets.orchestration.progress import reporter
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import (
    COMMON,
    failure_table,
    judged_checks,
    schema_check,
    sites_check,
    stored_failures,
    table_checks,
)
from dp_assets.orchestration.stage_config import StageConfig
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.profiling.feature_plan import VERSION, FeaturePlan
from dp_assets.profiling.feature_statistics import feature_statistics
from dp_assets.storage.card_check import repeats_channels
from dp_assets.storage.tables import StoredTable, TableStream, read_provenance

STATISTICS = "statistics"


def cell_features_asset(
    experiment: Experiment, rules: ChecksSettings, others: Sequence[Experiment] = ()
) -> dg.AssetsDefinition:
    """The features of every cell, from the experiment's model.

    Parameters
    ----------
    rules : say which checks block.
    others : experiments whose features may be computed in the same pass, see `feature_companions`.
    """
    settings = experiment.profiling()
    repeated = repeats_channels(settings)
    key = features_key(experiment)

    @dg.asset(
        key=key,
        group_name=experiment.name,
        **COMMON,
        kinds={"parquet"},
        partitions_def=plates,
        io_manager_key="table_io",
        pool="gpu",
        code_version=f"{VERSION}-{settings_digest(settings.profile)}{'-repeated' if repeated else ''}",
        ins=feature_inputs(experiment, settings),
        check_specs=[*table_checks(key, "sites_complete"), *judged_checks(key, rules, FINITE, VARY)],
        description=(
            f"One row per {_unit(settings)}: the output of layer {settings.profile.feature_layer} of "
            f"{experiment.name}'s model, averaged over space"
            f"{', of every channel on its own' if repeated else ''}. Written in row groups of about 16,000 "
            "cells that end with a well."
        ),
    )
    def cell_features(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        project: ProjectResource,
        accelerator: AcceleratorResource,
        **inputs: Any,
    ) -> dg.MaterializeResult:
        stream = None
        stored = StoredTable(project.path(tuple(key.path), context.partition_key, ".parquet"))
        with user_errors(), ExitStack() as held:
            rules = project.check_rules
            plan = feature_plan(experiment, settings, context.partition_key, inputs, project, accelerator)
            if config.force or not project.is_current(context, ".parquet", plan.fingerprint):
                held.enter_context(project.work(context).locked())
                stream = _extract(
                    context,
                    experiment,
                    others,
                    plan,
                    inputs,
                    project,
                    accelerator,
                    None if config.force else stored,
                )
                # Once more through the finished sites, before anything of them is published.
                statistics = feature_statistics(stream.row_groups())
                stream = replace(stream, provenance={**stream.provenance, STATISTICS: statistics})
            facts = stream.provenance if stream else read_provenance(stored.schema())
            failures = stored_failures(facts["failures"])
            found = [
                schema_check(stream.schema if stream else stored.schema(), "cell_features"),
                sites_check(failures),
                *feature_checks(rules, context.partition_key, _statistics(facts, stored)),
            ]
            output = TableOutput(
                stream,
                lambda table: {
                    **_feature_facts(table),
                    **unchanged(stream is not None),
                    **failure_table(failures),
                },
                held=held.pop_all(),
            )
        return dg.MaterializeResult(
            value=output, data_version=dg.DataVersion(facts["fingerprint"]), check_results=found
        )

    return cell_features


def _statistics(facts: Mapping[str, Any], stored: StoredTable) -> Mapping[str, Any]:
    """What is known of the features; tables of an earlier version are looked through."""
    known = facts.get(STATISTICS)
    return feature_statistics(stored.row_groups()) if known is None else known


def _unit(settings: ProfilingSettings) -> str:
    return "view" if settings.locations.mode == "full_image" else "cell"


def _extract(
    context: dg.AssetExecutionContext,
    experiment: Experiment,
    others: Sequence[Experiment],
    plan: FeaturePlan,
    inputs: Mapping[str, Any],
    project: ProjectResource,
    accelerator: AcceleratorResource,
    published: StoredTable | None,
) -> TableStream:
    """The features to publish; the work folder is locked."""
    accelerator.apply(context)
    from dp_assets.profiling.plate_features import EarlierFeatures, extract_plate

    settings = experiment.profiling()
    load = extractor_loader(
        context,
        inputs[MODEL],
        checkpoint_of(experiment, settings),
        settings,
        project,
        accelerator,
    )
    with companions_of(context, experiment, others, plan, inputs, project, accelerator) as companions:
        stream, _ = extract_plate(
            plan,
            load,
            progress=reporter(context, "sites"),
            earlier=EarlierFeatures(published) if published else None,
            companions=companions,
            **project.site_options(context),
        )
    return stream


def _feature_facts(table: StoredTable) -> Metadata:
    schema = table.schema()
    facts = read_provenance(schema)
    return {
        "cells": table.row_count(),
        "features": sum(1 for name in schema.names if not name.startswith("Metadata_")),
        "layer": facts["layer"],
        "model": facts["model"],
        "sites_without_cells": len(facts["sites_without_cells"]),
    }
