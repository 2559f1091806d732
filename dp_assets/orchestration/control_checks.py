"""The check that the controls of new plates look like those of earlier ones."""

from typing import Any

import dagster as dg
import pyarrow as pa

from dp_assets.config.checks import ChecksSettings
from dp_assets.orchestration.results import judged, picture, table
from dp_assets.profiling.control_drift import control_drift

STEADY = "controls_steady"


def drift_check(rules: ChecksSettings, profiles: pa.Table) -> dg.AssetCheckResult:
    """Whether no plate's controls lie much farther from those before than these from each other.

    Parameters
    ----------
    profiles : of all plates before normalization, with the role columns.
    """
    from dp_assets.figures.named_bars import named_bars

    found = control_drift(profiles)
    drifted = [plate for plate in found if plate.ratio > rules.control_drift]
    facts: dict[str, Any] = {}
    if not found:
        facts["note"] = "there are no two earlier plates with two control profiles each"
    if drifted:
        facts["drift"] = table(
            [
                {
                    "plate": plate.plate,
                    "times_as_far_as_usual": round(plate.ratio, 2),
                    "distance": round(plate.distance, 3),
                    "usual": round(plate.usual, 3),
                    "controls": plate.controls,
                }
                for plate in sorted(drifted, key=lambda plate: -plate.ratio)
            ]
        )
        ratios = {plate.plate: plate.ratio for plate in found}
        unit = "distance of controls from those of earlier plates, times the usual"
        drawn = named_bars(ratios, "Drift of controls", unit, rules.control_drift)
        facts["plates"] = picture(drawn, "drift of controls by plate")
    return judged(
        rules,
        STEADY,
        not drifted,
        remedy="look at the images of the controls of these plates: another exposure, stain or cell passage; "
        "if the plates are good, let them be corrected as a batch of their own",
        drifted=", ".join(plate.plate for plate in drifted[:20]) or "none",
        plates_compared=len(found),
        farthest=round(max((plate.ratio for plate in found), default=0.0), 3),
        threshold=rules.control_drift,
        **facts,
    )
