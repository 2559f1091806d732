"""The choice of lambda, and what it is worth on labels that had no say in it."""

import math

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.profile_sections import RegularizationSweepSettings
from dp_assets.config.protocol import (
    CellAggregation,
    Correction,
    EvaluationProtocol,
    Normalization,
    ProfileProtocol,
    TreatmentAggregation,
)
from dp_assets.evaluation.nsc import nearest_neighbour_scores
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.profile_table import profile_set
from dp_assets.evaluation.score import Score
from dp_assets.profiling.correction import correct
from dp_assets.profiling.correction_sweep import Trial, summarize_sweep, sweep_regularization
from dp_assets.profiling.treatments import treatment_table
from dp_assets.profiling.well_table import wells_of_sites
from dp_assets.storage.profile_columns import BATCH, COMPOUND, CONTROL, LABEL, ROLES, TREATMENT
from dp_assets.storage.schemas import CORRECTION_SWEEP, PLATE, WELL

WIDTH = 10
VALUES = (10.0, 0.1, 0.001)


def raw(seed: int = 0, labels: int = 6, sites: int = 1) -> pa.Table:
    """Each label has a direction and four compounds on two plates; a nuisance as in the controls."""
    rng = np.random.default_rng(seed)
    nuisance = rng.normal(size=(2, WIDTH)) * 8
    directions = rng.normal(size=(labels, WIDTH))
    rows, values = [], []
    for plate in ("P1", "P2"):
        wells = [("DMSO", "") for _ in range(6)]
        wells += [(f"c{label}_{n}", f"m{label}") for label in range(labels) for n in range(4)]
        for number, (compound, label) in enumerate(wells):
            signal = directions[int(label[1:])] if label else 0
            for site in range(sites):
                rows.append((plate, f"W{number:02}", str(site), compound, label))
                values.append(signal + rng.normal(size=2) @ nuisance + 0.5 * rng.normal(size=WIDTH))
    columns = {
        PLATE: [row[0] for row in rows],
        WELL: [row[1] for row in rows],
        **({"Metadata_Site": [row[2] for row in rows]} if sites > 1 else {}),
        **{name: [""] * len(rows) for name in ROLES},
        TREATMENT: [row[3] for row in rows],
        COMPOUND: [row[3] for row in rows],
        LABEL: [row[4] for row in rows],
        BATCH: [row[0] for row in rows],
        CONTROL: ["false" if row[4] else "true" for row in rows],
    }
    arrays = {name: pa.array(column, pa.string()) for name, column in columns.items()}
    stacked = np.array(values, np.float32)
    return pa.table(arrays | {f"net_{n}": pa.array(stacked[:, n]) for n in range(WIDTH)})


def protocol(method: str = "sphering", level: str = "well", source: str = "well") -> ProfileProtocol:
    return ProfileProtocol(
        level=level,
        cells=CellAggregation(well_aggregation="mean"),
        treatments=TreatmentAggregation(source=source, aggregation="mean"),
        normalization=Normalization(method="standardize"),
        correction=Correction(method=method, regularization=1.0),
        regularization_sweep=RegularizationSweepSettings(values=VALUES, score="nsc", splits=4, seed=3),
    )


def nearest(profiles: ProfileSet) -> Score:
    """The share of treatments whose nearest neighbour has the same label."""
    unit = profiles.features / np.linalg.norm(profiles.features, axis=1, keepdims=True)
    similarity = unit @ unit.T - 3 * np.eye(len(unit))
    found = profiles.labels[similarity.argmax(axis=1)] == profiles.labels
    return Score("nearest", float(found.mean()), len(found), "treatments", "as in the test")


def rows_of(table: pa.Table, **values: object) -> list[dict]:
    return [row for row in table.to_pylist() if all(row[key] == value for key, value in values.items())]


@pytest.mark.parametrize(("level", "source"), [("well", "well"), ("site", "site"), ("site", "well")])
def test_all_labels_are_scored_as_the_profiles_would_be(level: str, source: str) -> None:
    table, settings = raw(sites=2 if level == "site" else 1), protocol("tvn", level, source)
    sweep = sweep_regularization(table, settings, nearest, label_separator="")
    CORRECTION_SWEEP.enforce(sweep.table)
    assert sweep.table.num_rows == len(VALUES) * (1 + 2 * 4)
    for value in VALUES:
        fixed = settings.model_copy(update={"correction": Correction(method="tvn", regularization=value)})
        corrected = correct(table, fixed).table
        if (level, source) == ("site", "well"):
            corrected = wells_of_sites(corrected, None, settings.cells).table
        expected = nearest(profile_set(treatment_table(corrected, settings.treatments), "treatment"))
        (row,) = rows_of(sweep.table, regularization=value, half="all")
        assert row["value"] == expected.value
        assert (row["split"], row["n"], row["score"]) == (-1, 24, "nsc")


def test_halves_are_their_own_library() -> None:
    seen: list[set[str]] = []

    def record(profiles: ProfileSet) -> Score:
        seen.append(set(profiles.labels))
        assert not profiles.is_control.any()
        return nearest(profiles)

    sweep = sweep_regularization(raw(), protocol(), record, label_separator="|")
    per_value = len(seen) // len(VALUES)
    for start in range(0, len(seen), per_value):
        assert len(seen[start]) == 6
        for first, second in zip(
            seen[start + 1 : start + per_value : 2], seen[start + 2 : start + per_value : 2], strict=True
        ):
            assert len(first) == len(second) == 3
            assert not first & second
    assert seen[:per_value] == seen[per_value : 2 * per_value]
    assert {row["n"] for row in rows_of(sweep.table, half="first")} == {12}


def test_a_nuisance_of_the_controls_asks_for_a_small_lambda() -> None:
    """Two directions of the controls cover the labels, until sphering takes them away."""
    table = raw(5, labels=8)
    sweep = sweep_regularization(
        table,
        protocol(),
        lambda profiles: nearest_neighbour_scores(profiles, EvaluationProtocol()).scores[0],
        label_separator="",
    )
    of_all = {row["regularization"]: row["value"] for row in rows_of(sweep.table, half="all")}
    assert of_all[10.0] < 0.6
    assert of_all[0.001] > 0.9
    assert sweep.best in (0.1, 0.001)
    assert sweep.chosen in (0.1, 0.001)
    assert sweep.best_value == max(of_all.values())
    assert 0.8 < sweep.honest <= sweep.optimistic <= 1
    assert sweep.halves == 8
    assert sweep.reason == ""


def trials(table: dict[tuple[int, str], dict[float, float]]) -> list[Trial]:
    return [
        Trial(value, half, split, score, 5)
        for (split, half), found in table.items()
        for value, score in found.items()
    ]


def test_choice_and_judgement_by_hand() -> None:
    sweep = summarize_sweep(
        trials(
            {
                (-1, "all"): {0.1: 0.5, 0.01: 0.6},
                (0, "first"): {0.1: 0.9, 0.01: 0.2},  # chooses 0.1, judged 0.3
                (0, "second"): {0.1: 0.3, 0.01: 0.8},  # chooses 0.01, judged 0.2
                (1, "first"): {0.1: 0.4, 0.01: 0.4},  # equal: the larger, judged 0.5
                (1, "second"): {0.1: 0.5, 0.01: 0.1},  # chooses 0.1, judged 0.4
            }
        ),
        "map",
    )
    assert (sweep.best, sweep.best_value, sweep.chosen) == (0.01, 0.6, 0.1)
    assert sweep.honest == pytest.approx((0.3 + 0.2 + 0.5 + 0.4) / 4)
    assert sweep.optimistic == pytest.approx((0.9 + 0.8 + 0.4 + 0.5) / 4)
    assert sweep.halves == 4
    marked = [
        (row["split"], row["half"], row["regularization"]) for row in sweep.table.to_pylist() if row["chosen"]
    ]
    assert marked == [
        (-1, "all", 0.01),
        (0, "first", 0.1),
        (0, "second", 0.01),
        (1, "first", 0.1),
        (1, "second", 0.1),
    ]


def test_lower_may_be_better() -> None:
    found = {(-1, "all"): {0.1: 0.5, 0.01: 0.6}, (0, "first"): {0.1: 0.1, 0.01: 0.2}}
    found[0, "second"] = {0.1: 0.7, 0.01: 0.6}
    sweep = summarize_sweep(trials(found), "plate_effect", higher_is_better=False)
    assert (sweep.best, sweep.honest, sweep.optimistic) == (0.1, pytest.approx(0.45), pytest.approx(0.35))
    # each is chosen once, and 0.1 is better on all
    assert sweep.chosen == 0.1


def test_halves_without_a_value_have_no_say() -> None:
    found = {
        (-1, "all"): {0.1: 0.5},
        (0, "first"): {0.1: math.nan},
        (0, "second"): {0.1: 0.2},
        (1, "first"): {0.1: 0.3},
        (1, "second"): {0.1: 0.7},
    }
    sweep = summarize_sweep(trials(found), "map")
    assert (sweep.halves, sweep.honest) == (2, 0.5)
    assert rows_of(sweep.table, split=0, half="first")[0]["value"] is None
    nothing = summarize_sweep(trials({(-1, "all"): {0.1: math.nan}}), "map")
    assert (nothing.best, nothing.chosen, nothing.halves) == (None, None, 0)
    assert math.isnan(nothing.best_value)
    assert not any(nothing.table["chosen"].to_pylist())


def test_choosing_among_noise_flatters_only_the_half_that_chose() -> None:
    rng = np.random.default_rng(0)
    values = [10.0**-n for n in range(8)]
    found = {
        (split, half): dict(zip(values, rng.normal(size=8), strict=True))
        for split in range(200)
        for half in ("first", "second")
    }
    found[-1, "all"] = dict.fromkeys(values, 0.0)
    sweep = summarize_sweep(trials(found), "map")
    assert abs(sweep.honest) < 0.2
    assert sweep.optimistic > 1.2


def test_few_labels_cannot_be_halved() -> None:
    sweep = sweep_regularization(raw(labels=3), protocol(), nearest, label_separator="")
    assert sweep.table.num_rows == len(VALUES)
    assert sweep.best in VALUES
    assert (sweep.chosen, sweep.halves) == (None, 0)
    assert math.isnan(sweep.honest)
    assert "fewer than four" in sweep.reason


def test_nothing_to_sweep_without_correction() -> None:
    with pytest.raises(ConfigurationError, match="no lambda to choose"):
        sweep_regularization(raw(), protocol("none"), nearest, label_separator="")
