"""Checks of profiles: those that stop a result that would mislead, and those that warn."""

from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dp_assets.config.protocol import ExpectedCounts, ProfileProtocol
from dp_assets.orchestration.results import check, number
from dp_assets.profiling.correction import CorrectionFacts
from dp_assets.profiling.roles import treatment_conflicts
from dp_assets.profiling.treatments import batch_label_confounding
from dp_assets.storage.profile_columns import LABEL
from dp_assets.storage.schemas import PLATE, WELL

ONE_TREATMENT = "one_treatment_per_well"
CONTROLS = "controls_per_plate"
FINITE = "no_missing_values"
WHITENED = "controls_whitened"
WELLS_AGREE = "wells_agree"
BATCHES = "batches_not_confounded"
EXPECTED = "expected_counts"
SHOWN = 20
ONE_TREATMENT_REMEDY = (
    "correct the image index or the annotation tables, or name all columns that make a treatment in "
    "profiles.treatment_fields"
)
# How far the covariance of corrected controls may be from what the formula promises.
WHITENING_TOLERANCE = 1e-5


def treatment_check(*tables: pa.Table) -> dg.AssetCheckResult:
    """Every well has one treatment, compound and label; every treatment one label.

    Parameters
    ----------
    tables : with role columns; the profiles, and where they are of wells, what the index says of their sites.
    """
    conflicts = list(dict.fromkeys(found for table in tables for found in treatment_conflicts(table)))
    return check(
        ONE_TREATMENT,
        not conflicts,
        warn=False,
        conflicts="\n".join(conflicts[:SHOWN]) or "none",
        number=len(conflicts),
        **_remedy(conflicts, ONE_TREATMENT_REMEDY),
    )


def controls_check(facts: CorrectionFacts, protocol: ProfileProtocol) -> dg.AssetCheckResult:
    """Every plate has two control wells, where profiles are corrected against controls."""
    needed = protocol.correction.method != "none"
    few = facts.plates_without_controls
    return check(
        CONTROLS,
        not (needed and few),
        warn=False,
        plates_with_fewer_than_two=", ".join(few[:SHOWN]) or "none",
        needed_by=protocol.correction.method,
        **_remedy(
            needed and few,
            "name all control values in profiles.control_values, take these plates out of the index, or "
            'write "method": "none" in profiles.correction',
        ),
    )


def finite_check(table: pa.Table) -> dg.AssetCheckResult:
    """Every feature of every row is a finite number."""
    bad = {}
    for name in table.column_names:
        if pa.types.is_floating(table.schema.field(name).type):
            column = table[name]
            count = column.null_count + int((~np.isfinite(column.drop_null().to_numpy())).sum())
            if count:
                bad[name] = count
    shown = ", ".join(f"{name}: {count} rows" for name, count in list(bad.items())[:SHOWN])
    return check(
        FINITE,
        not bad,
        warn=False,
        features=len(bad),
        worst=shown or "none",
        **_remedy(
            bad, 'write "drop_na_columns" in profiles.feature_selection.operations, or mend the features'
        ),
    )


def whitened_check(facts: CorrectionFacts, protocol: ProfileProtocol) -> dg.AssetCheckResult:
    """The corrected controls have mean 0 and the covariance that the formula promises."""
    if protocol.correction.method == "none":
        return check(WHITENED, True, warn=False, note="no correction against controls")
    passed = facts.whitened_mean <= WHITENING_TOLERANCE and facts.whitened_covariance <= WHITENING_TOLERANCE
    return check(
        WHITENED,
        bool(passed),
        warn=False,
        mean=number(facts.whitened_mean),
        covariance=number(facts.whitened_covariance),
        tolerance=WHITENING_TOLERANCE,
        **_remedy(not passed, "write a larger profiles.correction.regularization, or normalize first"),
    )


def wells_check(table: pa.Table, indexed: pa.Table | None, listed: set[str] | None) -> dg.AssetCheckResult:
    """The wells of the index are those with profiles.

    Parameters
    ----------
    table : of schema `profiles`.
    indexed : what the index says of its sites, without those that take no part (without treatment or, where
        it is needed, without label); None for tables of other programs, which have no index.
    listed : plates of the index, None when it is not known.
    """
    if indexed is None:
        return check(WELLS_AGREE, True, note="the table is its own index")
    profiled, wanted = _wells(table), _wells(indexed)
    plates = {plate for plate, _ in profiled}
    absent = sorted(({plate for plate, _ in wanted} | (listed or set())) - plates)
    without = sorted(well for well in wanted - profiled if well[0] in plates)
    return check(
        WELLS_AGREE,
        not (without or absent),
        plates_without_profiles=", ".join(absent[:SHOWN]) or "none",
        wells_without_profile=len(without),
        first=", ".join(f"{plate} {well}" for plate, well in without[:SHOWN]) or "none",
        **_remedy(absent, "run the stage `profile` for these plates, or take them out of the index"),
    )


def batch_check(table: pa.Table, label_separator: str) -> dg.AssetCheckResult:
    """No label lies in a single batch, where there are several."""
    found = batch_label_confounding(table, label_separator)
    return check(
        BATCHES,
        not found.labels_in_one_batch,
        labels_in_one_batch=", ".join(found.labels_in_one_batch[:SHOWN]) or "none",
        labels=found.labels,
        batches=found.batches,
    )


def count_check(table: pa.Table, expected: ExpectedCounts) -> dg.AssetCheckResult:
    """The numbers of treatments and labels are those of the published set that the preset names."""
    labels = len([label for label in pc.unique(table[LABEL]).to_pylist() if label])
    passed = expected.treatments in (None, table.num_rows) and expected.labels in (None, labels)
    return check(
        EXPECTED,
        passed,
        treatments=table.num_rows,
        labels=labels,
        expected_treatments=str(expected.treatments or "any"),
        expected_labels=str(expected.labels or "any"),
    )


def _remedy(failed: object, text: str) -> dict[str, Any]:
    """What can be done, where there is something to do."""
    return {"remedy": text} if failed else {}


def _wells(table: pa.Table) -> set[tuple[str, str]]:
    return set(zip(table[PLATE].to_pylist(), table[WELL].to_pylist(), strict=True))
