"""An experiment's profiles over all plates: one scale, batches corrected, features selected."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pyarrow as pa

from dp_assets.config.checks import ChecksSettings
from dp_assets.config.digest import settings_digest
from dp_assets.config.errors import ConfigurationError, Problem
from dp_assets.config.experiment import Experiment
from dp_assets.config.protocol import ProfileProtocol
from dp_assets.orchestration.control_checks import STEADY, drift_check
from dp_assets.orchestration.io_managers import FAN_IN
from dp_assets.orchestration.outputs import Metadata, TableOutput
from dp_assets.orchestration.profile_checks import (
    BATCHES,
    CONTROLS,
    FINITE,
    ONE_TREATMENT,
    ONE_TREATMENT_REMEDY,
    SHOWN,
    WELLS_AGREE,
    WHITENED,
    batch_check,
    controls_check,
    finite_check,
    treatment_check,
    wells_check,
    whitened_check,
)
from dp_assets.orchestration.profile_inputs import (
    RawProfiles,
    annotation_digest,
    described_sites,
    raw_input,
    raw_profiles,
)
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import (
    COMMON,
    blocking_checks,
    identified,
    judged_checks,
    schema_check,
    table_checks,
)
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.profiling.correction import Corrected, correct
from dp_assets.profiling.roles import treatment_conflicts
from dp_assets.profiling.well_table import wells_of_sites
from dp_assets.storage.profile_columns import CONTROL, IS_CONTROL, TREATMENT
from dp_assets.storage.schemas import PLATE
from dp_assets.storage.tables import with_provenance

_BLOCKING = (ONE_TREATMENT, CONTROLS, FINITE, WHITENED)


def corrected_sites_asset(experiment: Experiment, root: str, rules: ChecksSettings) -> dg.AssetsDefinition:
    """The corrected profiles of all sites; `rules` say which checks block."""
    protocol = experiment.scoring().profiles
    key = dg.AssetKey([experiment.name, "corrected_sites"])

    @dg.asset(
        key=key,
        group_name=experiment.name,
        **COMMON,
        kinds={"parquet"},
        io_manager_key="table_io",
        code_version=_code(protocol, root),
        ins={"sites": raw_input(experiment, "site")},
        check_specs=[
            *table_checks(key),
            *blocking_checks(key, *_BLOCKING),
            # Of one level only, or one plate would be told of twice.
            *(judged_checks(key, rules, STEADY) if protocol.level == "site" else []),
        ],
        description=f"The site profiles of all plates. {describe(protocol)}",
    )
    def corrected_sites(project: ProjectResource, sites: Any) -> dg.MaterializeResult:
        with user_errors(experiment):
            raw = raw_profiles(sites, "site", protocol, project, experiment.name)
            corrected = correct(raw.table, protocol)
            steady = [drift_check(project.check_rules, raw.table)] if protocol.level == "site" else []
        table, version = identified(with_provenance(corrected.table, **_provenance(raw, corrected)))
        return dg.MaterializeResult(
            value=TableOutput(table, lambda _: _facts(table, raw, corrected)),
            data_version=version,
            check_results=[
                schema_check(table, "corrected_sites"),
                *_checks((raw.table,), table, corrected, protocol),
                *steady,
            ],
        )

    return corrected_sites


def profiles_asset(experiment: Experiment, root: str, rules: ChecksSettings) -> dg.AssetsDefinition:
    """The corrected profiles of all wells; `rules` say which checks block."""
    scoring = experiment.scoring()
    protocol, separator = scoring.profiles, scoring.evaluation.label_separator
    key = dg.AssetKey([experiment.name, "profiles"])
    of_sites = protocol.level == "site"
    own = () if of_sites else _BLOCKING
    annotations = (
        {}
        if experiment.has_features
        else {"plate_annotations": dg.AssetIn(metadata=FAN_IN, partition_mapping=dg.AllPartitionMapping())}
    )

    @dg.asset(
        key=key,
        group_name=experiment.name,
        **COMMON,
        kinds={"parquet"},
        io_manager_key="table_io",
        code_version=settings_digest(protocol.cells) if of_sites else _code(protocol, root),
        ins={
            "source": (
                dg.AssetIn([experiment.name, "corrected_sites"])
                if of_sites
                else raw_input(experiment, "well")
            ),
            **annotations,
        },
        check_specs=[
            *table_checks(key, WELLS_AGREE, BATCHES),
            *blocking_checks(key, *own),
            *([] if of_sites else judged_checks(key, rules, STEADY)),
        ],
        description=(
            "The profiles of the wells of all plates: "
            + ("each the summary of its corrected sites. " if of_sites else "")
            + describe(protocol)
        ),
    )
    def profiles(project: ProjectResource, source: Any, **inputs: Any) -> dg.MaterializeResult:
        annotated = inputs.get("plate_annotations")
        with user_errors(experiment):
            facts: Metadata
            results: list[dg.AssetCheckResult]
            indexed = described_sites(annotated, protocol, project) if annotated else None
            if of_sites:
                wells = wells_of_sites(source, None, protocol.cells).table
                table, facts, results = wells, {"wells": wells.num_rows}, []
            else:
                with _contradictions_first(indexed):
                    raw = raw_profiles(source, "well", protocol, project, experiment.name)
                corrected = correct(raw.table, protocol)
                table = with_provenance(corrected.table, **_provenance(raw, corrected))
                facts = _facts(table, raw, corrected)
                told = (raw.table, *([] if indexed is None else [indexed]))
                results = [
                    *_checks(told, table, corrected, protocol),
                    drift_check(project.check_rules, raw.table),
                ]
        table, version = identified(table)
        return dg.MaterializeResult(
            value=TableOutput(table, lambda _: facts),
            data_version=version,
            check_results=[
                schema_check(table, "profiles"),
                wells_check(table, indexed, project.listed_plates()),
                batch_check(table, separator),
                *results,
            ],
        )

    return profiles


@contextmanager
def _contradictions_first(indexed: pa.Table | None) -> Iterator[None]:
    """Where sites of a well disagree, its profile lacks the column: then say that, not that it is missing."""
    try:
        yield
    except ConfigurationError as error:
        conflicts = [] if indexed is None else treatment_conflicts(indexed)
        told = [Problem(conflict, "image_index", ONE_TREATMENT_REMEDY) for conflict in conflicts[:SHOWN]]
        raise (ConfigurationError(told) if told else error) from None


def describe(protocol: ProfileProtocol) -> str:
    """One line on how profiles are made comparable."""
    normalization, correction = protocol.normalization, protocol.correction
    parts = []
    if normalization.method != "none":
        reference = "the controls" if normalization.reference == "controls" else "all profiles"
        parts.append(f"{normalization.method} against {reference} of each {normalization.by}")
    if protocol.feature_selection.operations:
        parts.append("feature selection: " + ", ".join(protocol.feature_selection.operations))
    if correction.method != "none":
        parts.append(f"{correction.method} on the controls, lambda {correction.regularization:g}")
    return ("; ".join(parts) or "as they are") + "."


def _code(protocol: ProfileProtocol, root: str) -> str:
    usual = ProfileProtocol()
    # What cells become is the business of the plates' own profiles, and the rest that of later assets.
    own = protocol.model_copy(
        update={
            "cells": usual.cells,
            "treatments": usual.treatments,
            "expected": usual.expected,
            "regularization_sweep": usual.regularization_sweep,
        }
    )
    return settings_digest(own) + annotation_digest(protocol, root)


def _provenance(raw: RawProfiles, corrected: Corrected) -> dict[str, Any]:
    return {
        "left_out": raw.left_out,
        "plates_not_profiled": list(raw.absent),
        "correction": corrected.facts.as_dict(),
    }


def _facts(table: pa.Table, raw: RawProfiles, corrected: Corrected) -> Metadata:
    controls = sum(value == IS_CONTROL for value in table[CONTROL].to_pylist())
    return {
        "rows": table.num_rows,
        "controls": controls,
        "treatments": len(set(table[TREATMENT].to_pylist())),
        "plates": len(set(table[PLATE].to_pylist())),
        "plates_not_profiled": ", ".join(raw.absent) or "none",
        "left_out": dg.MetadataValue.json(raw.left_out),
        "annotations": dg.MetadataValue.json(raw.joined.as_dict()),
        "correction": dg.MetadataValue.json(corrected.facts.as_dict()),
    }


def _checks(
    told: tuple[pa.Table, ...], table: pa.Table, corrected: Corrected, protocol: ProfileProtocol
) -> list[dg.AssetCheckResult]:
    return [
        treatment_check(*told),
        controls_check(corrected.facts, protocol),
        finite_check(table),
        whitened_check(corrected.facts, protocol),
    ]
