"""Drift of controls on planted plates, and against a plain calculation."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.profiling.control_drift import control_drift
from dp_assets.storage.profile_columns import CONTROL, IS_CONTROL

FEATURES = 12


def table(plates: Mapping[str, np.ndarray], treated: float = 50.0) -> pa.Table:
    """Control profiles of each plate, and as many treated ones far away."""
    names, roles, rows = [], [], []
    for plate, controls in plates.items():
        names += [plate] * 2 * len(controls)
        roles += [IS_CONTROL] * len(controls) + [""] * len(controls)
        rows += [*controls, *(controls + treated)]
    values = np.array(rows, np.float32)
    columns = {f"f_{number}": pa.array(values[:, number]) for number in range(values.shape[1])}
    return pa.table({"Metadata_Plate": names, CONTROL: roles, **columns})


def controls(offset: float, seed: int, wells: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    plate_effect = rng.normal(0, 0.8, FEATURES)
    return 3 + offset + plate_effect + rng.normal(0, 1, (wells, FEATURES))


@pytest.mark.parametrize("seed", range(8))
def test_plates_alike_do_not_drift(seed: int) -> None:
    plates = {f"P{number}": controls(0, 100 * seed + number) for number in range(8)}
    found = control_drift(table(plates))
    assert [drift.plate for drift in found] == [f"P{number}" for number in range(2, 8)]
    assert max(drift.ratio for drift in found) < 3


def test_a_plate_with_other_controls_drifts_and_those_before_do_not() -> None:
    plates = {f"P{number}": controls(6.0 if number == 5 else 0, number) for number in range(7)}
    found = {drift.plate: drift for drift in control_drift(table(plates))}
    assert found["P5"].ratio > 3
    assert all(found[name].ratio < 3 for name in ("P2", "P3", "P4"))


def test_the_distance_is_that_of_a_plain_calculation() -> None:
    plates = {f"P{number}": controls(0, 40 + number, wells=3 + number) for number in range(3)}
    (found,) = control_drift(table(plates))
    values = {name: rows.astype(np.float32).astype(float) for name, rows in plates.items()}
    first, second, third = (values[f"P{number}"] for number in range(3))
    residuals = np.concatenate([first - first.mean(0), second - second.mean(0)])
    spread = np.sqrt((residuals**2).sum(0) / (len(residuals) - 2))
    middle = (first.mean(0) + second.mean(0)) / 2
    expected = np.sqrt((((third.mean(0) - middle) / spread) ** 2).mean())
    usual = np.sqrt((((first.mean(0) - second.mean(0)) / spread) ** 2).mean())
    assert found.distance == pytest.approx(expected, rel=1e-5)
    assert found.usual == pytest.approx(usual, rel=1e-5)
    assert found.controls == 5


def test_what_cannot_be_compared_is_left_out() -> None:
    plates = {"P0": controls(0, 1), "P1": controls(0, 2)}
    assert control_drift(table(plates)) == []
    assert control_drift(table({**plates, "P2": controls(9, 3, wells=1)})) == []
    constant = {name: np.full((4, FEATURES), 2.0) for name in ("P0", "P1", "P2")}
    assert [drift.distance for drift in control_drift(table(constant))] == [0.0]
    broken = {**plates, "P2": controls(0, 5)}
    broken["P0"][0, 3] = np.nan
    assert np.isfinite(control_drift(table(broken))[0].ratio)
