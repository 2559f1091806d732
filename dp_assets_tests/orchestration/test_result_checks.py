"""Checks of images, cells, training sets, models, features and controls: each passing and failing."""

import base64
import re
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from dp_assets.config.checks import ChecksSettings
from dp_assets.figures.preview import PREVIEW_BYTES
from dp_assets.imaging.illumination import IlluminationAccumulator
from dp_assets.orchestration.control_checks import drift_check
from dp_assets.orchestration.feature_checks import feature_checks
from dp_assets.orchestration.illumination_checks import illumination_checks
from dp_assets.orchestration.image_checks import image_checks
from dp_assets.orchestration.location_checks import (
    SampledCentres,
    cell_count_check,
    inside_check,
    nuclei_check,
)
from dp_assets.orchestration.results import judged
from dp_assets.orchestration.training_checks import balance_check, predictions_check, wells_check
from dp_assets.storage.image_sites import ImageSite
from dp_assets_tests.imaging.test_quality_rules import plate as made_plate
from dp_assets_tests.imaging.test_quality_rules import with_exchange
from dp_assets_tests.orchestration.materializing import plain
from dp_assets_tests.profiling.test_control_drift import controls, table

RULES = ChecksSettings()
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def explained(result: dg.AssetCheckResult, severity: dg.AssetCheckSeverity) -> dict[str, Any]:
    """The metadata of a check that failed: a remedy, and a table of 50 rows at most or a small picture."""
    assert not result.passed
    assert result.severity == severity
    facts = plain(result.metadata)
    assert len(facts["remedy"]) > 20
    pictures = [value for value in facts.values() if isinstance(value, str) and "base64," in value]
    tables = [value for value in facts.values() if isinstance(value, list)]
    assert pictures or tables
    for text in pictures:
        encoded = re.search(r"base64,([^)]+)\)", text)
        assert encoded is not None
        assert len(base64.b64decode(encoded[1])) <= PREVIEW_BYTES
    assert all(len(rows) <= 50 for rows in tables)
    return facts


def of_images(quality: Any, earlier: dict | None = None) -> dict[str, dg.AssetCheckResult]:
    return {result.check_name or "": result for result in image_checks(RULES, "P9", quality, earlier or {})}


def test_a_good_plate_passes_all_checks_of_images() -> None:
    found = of_images(made_plate(), {"P1": made_plate(seed=5), "P2": made_plate(seed=6)})
    assert all(result.passed for result in found.values())
    assert len(found) == 4


def test_blurred_saturated_and_empty_images_are_named() -> None:
    quality = made_plate(96)
    quality.measures["focus_slope"][:60, 1] = -4.9
    quality.measures["saturated_fraction"][7, 2] = 0.2
    for name in ("p50", "p75", "p90", "p97", "p99_9"):
        quality.measures[name][11, 0] = quality.measures["p1"][11, 0] + 1
    found = of_images(quality)
    blurred = explained(found["fields_in_focus"], WARN)
    assert blurred["blurred_images"] == 60
    assert len(blurred["images"]) == 50
    assert {row["channel"] for row in blurred["images"]} == {"RNA"}
    saturated = explained(found["fields_not_saturated"], WARN)
    assert [(row["well"], row["channel"]) for row in saturated["images"]] == [("A08", "Mito")]
    empty = explained(found["fields_not_empty"], WARN)
    assert [(row["well"], row["channel"]) for row in empty["images"]] == [("A12", "DNA")]


def test_exchanged_channels_of_a_field_warn_and_of_a_plate_are_an_error() -> None:
    fields = of_images(with_exchange(made_plate(), slice(3, 5), 0, 2))["channels_in_order"]
    assert [row["well"] for row in explained(fields, WARN)["fields"]] == ["A04", "A05"]
    swapped = with_exchange(made_plate(), slice(None), 0, 2)
    assert of_images(swapped)["channels_in_order"].passed, "one plate alone cannot tell"
    whole = explained(of_images(swapped, {"P1": made_plate(seed=5)})["channels_in_order"], ERROR)
    assert whole["exchanged_on_the_whole_plate"] == "DNA and Mito"
    assert "fit" in whole


COUNTS = {f"A{well:02d}/{site}": 50 + well for well in range(1, 13) for site in (1, 2)}


def test_usual_counts_pass() -> None:
    assert cell_count_check(RULES, "P1", COUNTS, ["A01", "A02"]).passed
    assert cell_count_check(RULES, "P1", {}, []).passed


def test_odd_counts_are_named_with_the_reason() -> None:
    counts = {
        **COUNTS,
        "A03/1": 0,
        "A03/2": 0,
        "A05/1": 5,
        "A05/2": 5,
        "A07/1": 900,
        "A02/1": 10,
        "A02/2": 30,
    }
    facts = explained(cell_count_check(RULES, "P1", counts, ["A01", "A02", "A04"]), WARN)
    assert {row["well"]: row["why"] for row in facts["wells"]} == {
        "A02": "a control unlike the other controls",
        "A03": "no cells",
        "A05": "fewer than 0.25 of the plate's median",
        "A07": "more than 4 times the plate's median",
    }
    assert facts["wells_without_cells"] == "A03"
    without = plain(cell_count_check(RULES, "P1", counts, []).metadata)
    assert "A02" not in {row["well"] for row in without["wells"]}


def cell_table(x: list[float], y: list[float]) -> pa.Table:
    n = len(x)
    return pa.table(
        {
            "Metadata_Well": ["A01"] * (n // 2) + ["A02"] * (n - n // 2),
            "Metadata_Site": ["1"] * n,
            "Nuclei_Location_Center_X": x,
            "Nuclei_Location_Center_Y": y,
        }
    )


def test_few_cells_outside_warn_and_many_block() -> None:
    inside = [float(value) for value in range(99)]
    assert inside_check(RULES, "P1", cell_table(inside, inside), (99, 99)).passed
    few = explained(inside_check(RULES, "P1", cell_table([*inside, 99.5], [*inside, 3]), (99, 99)), WARN)
    assert few["cells_outside"] == 1
    assert few["sites"] == [{"well": "A02", "site": "1", "outside": 1}]
    explained(inside_check(RULES, "P1", cell_table(inside, inside), (80, 99)), ERROR)


def sampled(*ranks: tuple[float, float], cells: int = 200) -> SampledCentres:
    site = ImageSite("P1", "A01", "1", (40, 50), (), (), ())
    image = np.random.default_rng(0).integers(0, 4000, (40, 50, 2)).astype(np.uint16)
    shown = (image, np.array([[3.0, 4.0], [20.0, 30.0]]))
    return SampledCentres((site,) * len(ranks), np.array(ranks), cells, shown)


def test_centres_on_nuclei() -> None:
    good = sampled((0.97, 0.8), (0.95, 0.85), (0.9, 0.91), (0.96, 0.7))
    assert nuclei_check(RULES, "P1", ("Hoechst", "Actin"), good).passed
    off = sampled((0.52, 0.5), (0.49, 0.5), (0.55, 0.6))
    explained(nuclei_check(RULES, "P1", ("Hoechst", "Actin"), off), ERROR)
    explained(nuclei_check(RULES, "P1", ("c1", "c2"), off), WARN)
    explained(nuclei_check(RULES, "P1", ("Hoechst", "c2"), sampled((0.5, 0.5), cells=10)), WARN)
    assert nuclei_check(RULES, "P1", ("Brightfield", "c2"), sampled((0.2, 0.5), (0.3, 0.5))).passed
    swapped = explained(nuclei_check(RULES, "P1", ("Actin", "DNA"), good), WARN)
    assert "DNA and Actin are exchanged" in swapped["remedy"]
    nothing = SampledCentres((), np.empty((0, 2)), 0, None)
    assert nuclei_check(RULES, "P1", ("DNA", "Actin"), nothing).passed


def of_illumination(image: np.ndarray, rules: ChecksSettings = RULES) -> dg.AssetCheckResult:
    adder = IlluminationAccumulator(("DNA",), image.shape, 16, 1)
    adder.add([image])
    functions = adder.finish(3)
    return illumination_checks(rules, "P1", functions)[1]


def test_illumination_functions_in_range_too_large_and_no_numbers() -> None:
    even = np.full((40, 60), 1000, np.uint16)
    even[:, 30:] = 2000
    assert of_illumination(even).passed
    steep = even.copy()
    steep[:, 30:] = 9000
    facts = explained(of_illumination(steep), WARN)
    assert facts["channels"] == [{"channel": "DNA", "largest_correction": 9.0, "finite": "yes"}]
    assert of_illumination(steep, ChecksSettings(illumination_range=10)).passed
    adder = IlluminationAccumulator(("DNA",), even.shape, 16, 1)
    adder.add([even])
    functions = adder.finish(3)
    functions.smoothed[4, 5] = np.nan
    explained(illumination_checks(RULES, "P1", functions)[1], ERROR)


STATISTICS: dict[str, Any] = {
    "cells": 100,
    "features": 8,
    "not_finite_features": 0,
    "not_finite": {},
    "not_finite_wells": {},
    "constant_features": 2,
    "constant": ["f_1", "f_2"],
}


def test_features_that_are_no_numbers_block_and_constant_ones_warn() -> None:
    assert all(result.passed for result in feature_checks(RULES, "P1", STATISTICS))
    bad = {"not_finite_features": 1, "not_finite": {"f_3": 4}, "not_finite_wells": {"B07": 4}}
    finite, vary = feature_checks(RULES, "P1", {**STATISTICS, **bad, "constant_features": 5})
    assert explained(finite, ERROR)["worst"] == [{"feature": "f_3", "cells": 4}]
    assert explained(vary, WARN)["fraction"] == 0.625


def members(*rows: tuple[str, str, str]) -> pa.Table:
    names = ("Metadata_Plate", "Metadata_Well", "split")
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def test_a_well_in_both_splits_blocks() -> None:
    apart = [("P1", "A01", "training"), ("P2", "A01", "validation"), ("P1", "A02", "validation")]
    assert wells_check(RULES, members(*apart)).passed
    facts = explained(wells_check(RULES, members(*apart, ("P1", "A01", "validation"))), ERROR)
    assert facts["shared"] == [{"plate": "P1", "well": "A01", "training": 1, "validation": 1}]
    rules = ChecksSettings(severity={"wells_in_one_split": "warn"})
    explained(wells_check(rules, members(*apart, ("P1", "A01", "validation"))), WARN)


def test_unbalanced_classes_warn() -> None:
    assert balance_check(RULES, {"a": 10, "b": 200}).passed
    facts = explained(balance_check(RULES, {"a": 10, "b": 201, "c": 50}), WARN)
    assert [row["class"] for row in facts["fewest"]] == ["a", "c", "b"]


def said(confusion: list[list[int]], **more: Any) -> dict[str, Any]:
    counts = np.array(confusion)
    names = [f"class {number}" for number in range(len(counts))]
    return {
        "cells": int(counts.sum()),
        "not_finite": 0,
        "largest_sum_error": 1e-7,
        "true": dict(zip(names, counts.sum(axis=1).tolist(), strict=True)),
        "predicted": dict(zip(names, counts.sum(axis=0).tolist(), strict=True)),
        "confusion": confusion,
        **more,
    }


@pytest.mark.parametrize(
    ("predictions", "severity"),
    [
        (None, None),
        (said([[30, 5], [6, 20]]), None),
        (said([[5, 0], [4, 0]]), None),
        (said([[96, 0], [4, 0]]), None),
        (said([[30, 1], [30, 0]]), WARN),
        (said([[30, 5], [6, 20]], not_finite=1), ERROR),
        (said([[30, 5], [6, 20]], largest_sum_error=0.5), ERROR),
        (said([[0, 0], [0, 0]], not_finite=9, cells=9), ERROR),
    ],
)
def test_predictions(predictions: dict | None, severity: dg.AssetCheckSeverity | None) -> None:
    result = predictions_check(RULES, predictions)
    if severity is None:
        assert result.passed
    else:
        explained(result, severity)


def test_drifting_controls_warn() -> None:
    plates = {f"P{number}": controls(0, number) for number in range(5)}
    assert drift_check(RULES, table(plates)).passed
    assert drift_check(RULES, table({"P0": plates["P0"]})).passed
    facts = explained(drift_check(RULES, table({**plates, "P5": controls(8, 5)})), WARN)
    assert [row["plate"] for row in facts["drift"]] == ["P5"]


def test_a_check_can_be_switched_off_and_made_an_error() -> None:
    off = ChecksSettings(severity={"classes_balanced": "off"})
    result = balance_check(off, {"a": 1, "b": 1000})
    assert result.passed
    assert "switched off" in plain(result.metadata)["note"]
    error = ChecksSettings(severity={"classes_balanced": "error"})
    assert balance_check(error, {"a": 1, "b": 1000}).severity == ERROR
    assert judged(error, "classes_balanced", False, mild=True).severity == WARN
