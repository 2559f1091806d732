"""The parts of an asset's result that all stages share: check results, failures, pictures."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from dp_assets.config.checks import ChecksSettings
from dp_assets.figures.preview import as_markdown
from dp_assets.storage.fingerprints import fingerprint_table
from dp_assets.storage.image_sites import SiteFailure
from dp_assets.storage.schemas import SCHEMAS
from dp_assets.storage.tables import with_provenance

SCHEMA_CHECK = "schema"
SITES_CHECK = "sites_complete"
MOST_ROWS = 50
# The result type is given because Dagster reads the annotation of a body with checks as "no value".
COMMON: dict[str, Any] = {"owners": ["team:imaging"], "dagster_type": dg.Any}


def table_checks(key: dg.AssetKey, *others: str) -> list[dg.AssetCheckSpec]:
    """The blocking schema check every table has, and further checks that do not block."""
    schema = dg.AssetCheckSpec(SCHEMA_CHECK, asset=key, blocking=True, description="Columns, types and keys.")
    return [schema, *checks(key, *others)]


def checks(key: dg.AssetKey, *names: str) -> list[dg.AssetCheckSpec]:
    """Checks that inform and do not block."""
    return [dg.AssetCheckSpec(name, asset=key, description=DESCRIPTIONS[name]) for name in names]


def blocking_checks(key: dg.AssetKey, *names: str) -> list[dg.AssetCheckSpec]:
    """Checks that keep later assets from being made of a result that would mislead."""
    return [
        dg.AssetCheckSpec(name, asset=key, blocking=True, description=DESCRIPTIONS[name]) for name in names
    ]


DESCRIPTIONS = {
    SITES_CHECK: "Every field of view of the plate could be used.",
    "configured_size": "Images have the width and height that the configuration states.",
    "cells_found": "The plate has cells, no two at one place, and every site has a locations file.",
    "cells_inside": "Cell centres lie inside their image.",
    "cell_counts_usual": "Wells have about as many cells as the plate's wells, and controls as controls.",
    "centres_on_nuclei": "Cell centres are bright in the channel of nuclei, and in no other more so.",
    "fields_in_focus": "No image is blurred, compared with its plate; no plate, compared with earlier ones.",
    "fields_not_saturated": "No image is cut off at the top of the camera's range.",
    "fields_not_empty": "Every image shows more than background.",
    "channels_in_order": "No channels look exchanged, in a field of view or on the whole plate.",
    "illumination_range": "Illumination functions are finite, and correct by no more than a usual factor.",
    "features_finite": "Every feature of every cell is a finite number.",
    "features_vary": "No more features than usual are constant over the plate.",
    "wells_in_one_split": "No well has cells in both splits.",
    "images_in_one_split": "No image is in both splits, under whatever name.",
    "classes_balanced": "The largest class has not many times the training cells of the smallest.",
    "predictions_sane": "Class probabilities are finite, add up to 1, and do not all name one class.",
    "controls_steady": "The controls of no plate lie much farther from those before than these do.",
    "channels_not_flat": "No channel is empty on the whole plate.",
    "images_not_flat": "No image is without contrast.",
    "crops_not_flat": "No crop is of one grey level in some channel (such crops are kept out of training).",
    "classes_validated": "Every class has cells in both splits.",
    "learned": "The validation accuracy is above chance.",
    "wells_complete": "Every well of the plate has enough cells for a profile.",
    "sites_profiled": "Every field of view of the plate has enough cells for a profile.",
    "one_treatment_per_well": "A well has one treatment, compound and label, and a treatment one label.",
    "controls_per_plate": "Every plate has two control wells, where profiles are corrected against them.",
    "no_missing_values": "Every feature of every profile is a finite number.",
    "controls_whitened": "The corrected controls have mean 0 and the covariance that the formula promises.",
    "wells_agree": "The wells of the image index are those with profiles.",
    "batches_not_confounded": "No label lies in a single batch, where there are several.",
    "expected_counts": "Treatments and labels are as many as in the published set of the preset.",
    "plates_listed": "Every registered plate is still listed in the index.",
}


def judged_checks(key: dg.AssetKey, rules: ChecksSettings, *names: str) -> list[dg.AssetCheckSpec]:
    """Checks whose severity stands in `project.yaml`; Dagster asks for it when definitions are loaded."""
    return [
        spec
        for name in names
        for spec in (blocking_checks if rules.severity_of(name) == "block" else checks)(key, name)
    ]


def judged(
    rules: ChecksSettings,
    name: str,
    passed: bool,
    *,
    mild: bool = False,
    remedy: str = "",
    **metadata: Any,
) -> dg.AssetCheckResult:
    """The result of a check of `judged_checks`.

    Parameters
    ----------
    mild : failed, but not so that it would mislead: a warning at most.
    remedy : what can be done; told when the check fails.
    metadata : numbers, thresholds, and the table or picture that explains them.
    """
    severity = rules.severity_of(name)
    if severity == "off":
        return check(name, True, note=f"switched off: checks.severity.{name} in project.yaml is off")
    if remedy and not passed:
        metadata["remedy"] = remedy
    return check(name, passed, warn=mild or severity == "warn", **metadata)


def table(rows: Sequence[Mapping[str, Any]], most: int = MOST_ROWS) -> dg.TableMetadataValue:
    """Rows for the asset's page, `most` at most; all rows have the same keys."""
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows[:most]])


def check(
    name: str, passed: bool, *, warn: bool = True, asset: dg.AssetKey | None = None, **metadata: Any
) -> dg.AssetCheckResult:
    """A check result; `warn` checks never look like errors. `asset` is for steps that make several."""
    severity = dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(
        check_name=name, passed=passed, severity=severity, metadata=metadata, asset_key=asset
    )


def schema_check(
    table: pa.Table | pa.Schema, name: str, asset: dg.AssetKey | None = None
) -> dg.AssetCheckResult:
    """The schema check of a table, or of a stream's schema."""
    schema = SCHEMAS[name]
    problems = schema.problems(table) if isinstance(table, pa.Table) else schema.schema_problems(table)
    shown = "\n".join(map(str, problems)) or "none"
    return check(SCHEMA_CHECK, not problems, warn=False, asset=asset, problems=shown)


def sites_check(failures: Sequence[SiteFailure]) -> dg.AssetCheckResult:
    """Whether every site could be used; names those that could not."""
    return check(SITES_CHECK, not failures, warn=False, failed=len(failures), **failure_table(failures))


def failure_table(failures: Sequence[SiteFailure]) -> dict[str, Any]:
    """The failed sites as a metadata table; empty when there are none."""
    if not failures:
        return {}
    rows = [dg.TableRecord({"well": f.well, "site": f.site, "problem": f.problem}) for f in failures[:50]]
    return {"failed_sites": dg.MetadataValue.table(rows)}


def stored_failures(facts: Sequence[dict[str, str]]) -> list[SiteFailure]:
    """Failures as they stand in a manifest or in a table's provenance."""
    return [SiteFailure(fact["well"], fact["site"], fact["problem"]) for fact in facts]


def identified(table: pa.Table) -> tuple[pa.Table, dg.DataVersion]:
    """The table with a fingerprint of its content in its provenance, and that as data version."""
    content = fingerprint_table(table)
    return with_provenance(table, fingerprint=content), dg.DataVersion(content)


def number(value: float) -> float | str:
    """A number for the asset's page; "none" for what is no number (the page cannot show it)."""
    return value if math.isfinite(value) else "none"


def picture(png: bytes, alt: str) -> dg.MarkdownMetadataValue:
    """A small picture for the asset's page."""
    return dg.MetadataValue.md(as_markdown(png, alt))
