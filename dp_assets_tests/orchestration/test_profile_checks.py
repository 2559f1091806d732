"""The checks of profiles, each with a table that passes and one that does not."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.config.protocol import Correction, ExpectedCounts, ProfileProtocol
from dp_assets.orchestration.profile_checks import (
    batch_check,
    controls_check,
    count_check,
    finite_check,
    treatment_check,
    wells_check,
    whitened_check,
)
from dp_assets.orchestration.results import check
from dp_assets.profiling.correction_facts import CorrectionFacts
from dp_assets.storage.profile_columns import BATCH, COMPOUND, CONCENTRATION, CONTROL, LABEL, TREATMENT

WHITENED = ProfileProtocol(correction=Correction(method="whitening"))
FACTS = CorrectionFacts(
    normalization="none",
    correction="whitening",
    features_before=2,
    features_after=2,
    dropped={},
    controls=4,
    control_wells={"P1": 2, "P2": 2},
    plates_without_controls=(),
    controls_by_batch={},
    references={},
    unscaled={},
    whitened_mean=1e-9,
    whitened_covariance=1e-9,
)


def wells(**columns: list) -> pa.Table:
    """Two plates with two wells each, of two treatments."""
    texts = {
        "Metadata_Plate": ["P1", "P1", "P2", "P2"],
        "Metadata_Well": ["A01", "A02", "A01", "A02"],
        TREATMENT: ["t", "u", "t", "u"],
        COMPOUND: ["t", "u", "t", "u"],
        CONCENTRATION: ["", "", "", ""],
        LABEL: ["m", "n", "m", "n"],
        BATCH: ["b1", "b1", "b2", "b2"],
        CONTROL: ["false"] * 4,
    }
    features = {"f_0": np.zeros(4, np.float32), "f_1": np.ones(4, np.float32)}
    return pa.table({**texts, **features, **columns})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, None])
def test_a_value_that_is_no_number_stops(value: float | None) -> None:
    assert finite_check(wells()).passed
    found = finite_check(wells(f_1=pa.array([0.0, 1.0, value, value], pa.float32())))
    assert not found.passed
    assert found.severity.value == "ERROR"
    assert found.metadata["worst"].value == "f_1: 2 rows"


def test_plates_with_one_control_stop_a_correction_only() -> None:
    few = replace(FACTS, plates_without_controls=("P2",))
    assert controls_check(FACTS, WHITENED).passed
    assert not controls_check(few, WHITENED).passed
    assert controls_check(few, ProfileProtocol()).passed


@pytest.mark.parametrize("wrong", [{"whitened_mean": 1e-3}, {"whitened_covariance": 0.1}])
def test_controls_that_are_not_white_stop(wrong: dict[str, float]) -> None:
    assert whitened_check(FACTS, WHITENED).passed
    assert not whitened_check(replace(FACTS, **wrong), WHITENED).passed


def test_what_could_not_be_measured_stops_and_is_no_nan_on_the_page() -> None:
    found = whitened_check(replace(FACTS, whitened_mean=np.nan), WHITENED)
    assert not found.passed
    json.dumps({name: value.value for name, value in found.metadata.items()}, allow_nan=False)


def test_a_treatment_with_two_labels_stops() -> None:
    assert treatment_check(wells()).passed
    found = treatment_check(wells(**{LABEL: ["m", "n", "o", "n"]}))
    assert not found.passed
    assert '"t"' in found.metadata["conflicts"].value
    # What the index says of sites counts as what the profiles say.
    assert not treatment_check(wells(), wells(**{LABEL: ["m", "n", "o", "n"]})).passed


def test_wells_and_plates_without_profiles_are_named() -> None:
    listed = {"P1", "P2"}
    assert wells_check(wells(), wells(), listed).passed
    well = wells_check(wells().slice(0, 3), wells(), listed)
    assert (well.passed, well.metadata["first"].value) == (False, "P2 A02")
    plate = wells_check(wells().slice(0, 2), wells(), listed)
    assert (plate.passed, plate.metadata["plates_without_profiles"].value) == (False, "P2")
    unread = wells_check(wells(), wells(), {*listed, "P3"})
    assert (unread.passed, unread.metadata["plates_without_profiles"].value) == (False, "P3")


def test_a_label_in_one_of_two_batches_warns() -> None:
    assert batch_check(wells(), "|").passed
    found = batch_check(wells(**{LABEL: ["m", "n", "m", "m"]}), "|")
    assert (found.passed, found.severity.value) == (False, "WARN")
    assert found.metadata["labels_in_one_batch"].value == "n"


def test_counts_are_held_against_the_published_ones() -> None:
    assert count_check(wells(), ExpectedCounts()).passed
    assert count_check(wells(), ExpectedCounts(treatments=4, labels=2)).passed
    assert not count_check(wells(), ExpectedCounts(treatments=5)).passed
    assert not count_check(wells(), ExpectedCounts(labels=3)).passed


def test_a_check_that_passes_gives_no_advice() -> None:
    assert "remedy" not in finite_check(wells()).metadata
    assert "remedy" in finite_check(wells(f_0=pa.array([np.nan] * 4, pa.float32()))).metadata
    assert check("any", True).passed
