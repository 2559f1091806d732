"""Checks of a plate's features: finite numbers that differ between cells."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from dp_assets.config.checks import ChecksSettings
from dp_assets.orchestration.results import judged, picture, table

FINITE = "features_finite"
VARY = "features_vary"


def feature_checks(
    rules: ChecksSettings, plate: str, statistics: Mapping[str, Any]
) -> list[dg.AssetCheckResult]:
    """Whether features are finite, and whether they vary.

    Parameters
    ----------
    statistics : see `profiling.feature_statistics`.
    """
    return [_finite(rules, plate, statistics), _vary(rules, statistics)]


def _finite(rules: ChecksSettings, plate: str, statistics: Mapping[str, Any]) -> dg.AssetCheckResult:
    from dp_assets.figures.plate_heatmap import plate_heatmap

    bad, wells = statistics["not_finite"], statistics["not_finite_wells"]
    facts: dict[str, Any] = {}
    if bad:
        facts["worst"] = table([{"feature": name, "cells": count} for name, count in bad.items()])
        shown = {well: float(count) for well, count in wells.items()}
        drawn = plate_heatmap(shown, f"{plate}: cells with features that are no numbers", "cells")
        facts["plate"] = picture(drawn, "wells with features that are no numbers")
    return judged(
        rules,
        FINITE,
        not bad,
        remedy="look at the crops of these wells, and at the model: a diverged training and half precision "
        "give features that are no numbers",
        features=statistics["not_finite_features"],
        wells=", ".join(list(wells)[:20]) or "none",
        **facts,
    )


def _vary(rules: ChecksSettings, statistics: Mapping[str, Any]) -> dg.AssetCheckResult:
    count, features = statistics["constant_features"], max(1, statistics["features"])
    facts: dict[str, Any] = {}
    if count:
        facts["constant"] = table([{"feature": name} for name in statistics["constant"]])
    return judged(
        rules,
        VARY,
        count <= rules.constant_fraction * features,
        remedy="a layer after a rectifier has features that are always 0; if they are many, choose another "
        "layer in profile.feature_layer, or look whether the model has learnt",
        constant_features=count,
        features=statistics["features"],
        fraction=round(count / features, 4),
        threshold=rules.constant_fraction,
        **facts,
    )
