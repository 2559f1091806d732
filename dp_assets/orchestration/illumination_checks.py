"""Checks of a plate's illumination functions: something to correct, and no more than light can do."""

from typing import Any

import dagster as dg
import numpy as np

from dp_assets.config.checks import ChecksSettings
from dp_assets.imaging.illumination import IlluminationFunctions
from dp_assets.orchestration.results import check, judged, number, picture, table

ILLUMINATION_RANGE = "illumination_range"


def illumination_checks(
    rules: ChecksSettings, plate: str, functions: IlluminationFunctions
) -> list[dg.AssetCheckResult]:
    """Whether no channel is empty, and whether the functions are in range."""
    flat = functions.flat_channels
    return [
        check("channels_not_flat", not flat, warn=False, flat_channels=", ".join(flat) or "none"),
        _range(rules, plate, functions),
    ]


def _range(rules: ChecksSettings, plate: str, functions: IlluminationFunctions) -> dg.AssetCheckResult:
    from dp_assets.figures.illumination import illumination_figure

    finite, largest = functions.overview.finite, functions.overview.largest
    odd = ~finite | (largest > rules.illumination_range)
    rows = [
        {
            "channel": channel,
            "largest_correction": number(round(float(largest[place]), 3)),
            "finite": "yes" if finite[place] else "no",
        }
        for place, channel in enumerate(functions.channels)
    ]
    facts: dict[str, Any] = {"channels": table(rows)}
    if odd.any() and finite.all():
        drawn = illumination_figure(functions.overview.small, functions.channels, plate)
        facts["functions"] = picture(drawn, "illumination functions")
    return judged(
        rules,
        ILLUMINATION_RANGE,
        not odd.any(),
        # A dark background makes large factors where there is little to correct; no number corrects nothing.
        mild=bool(finite.all()),
        remedy="look at the functions: a dark background, few fields of view, or a bright piece of dust; "
        "raise prepare.illumination_correction.median_filter_size, or compress without correction",
        odd_channels=", ".join(np.array(functions.channels)[odd].tolist()) or "none",
        threshold=rules.illumination_range,
        **facts,
    )
