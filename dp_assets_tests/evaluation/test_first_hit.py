"""First hits against hand-made ranks and loops."""

import numpy as np
import pandas as pd
import pytest

from dp_assets.evaluation import first_hit
from dp_assets.evaluation.first_hit import cell_first_hits, first_hit_ranks, first_hits
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles, score


def _at(degrees: list[float]) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _by_loop(features: np.ndarray, wells: np.ndarray, treatments: np.ndarray) -> np.ndarray:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    found = []
    for row in range(len(unit)):
        others = np.flatnonzero(wells != wells[row])
        order = others[np.argsort(-(unit[others] @ unit[row]))]
        hits = np.flatnonzero(treatments[order] == treatments[row])
        found.append(hits[0] if len(hits) else np.nan)
    return np.array(found, float)


@pytest.mark.parametrize("rows_at_a_time", [1024, 7])
def test_ranks_are_those_of_sorting(rows_at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_hit, "_ROWS_AT_A_TIME", rows_at_a_time)
    rng = np.random.default_rng(1)
    wells = np.repeat(np.arange(30), 4)
    treatments = np.concatenate([wells[:-4] // 3, [99] * 4])
    features = rng.normal(size=(120, 5)) + rng.normal(size=(100, 5))[treatments]
    found = first_hit_ranks(features, wells, treatments)
    np.testing.assert_array_equal(found, _by_loop(features, wells, treatments))
    assert np.isnan(found[-4:]).all()
    assert np.isfinite(found[:108]).all()


@pytest.mark.parametrize("seed", range(5))
def test_equal_rows_are_equally_near_in_any_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.integers(-1, 2, size=(60, 3)).astype(float) * rng.uniform(0.1, 10, size=(60, 1))
    wells = rng.integers(30, size=60)
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-300)
    similarities = np.round(unit @ unit.T, 9)
    expected = []
    for row in range(60):
        others = wells != wells[row]
        own = others & (wells % 5 == wells[row] % 5)
        expected.append((similarities[row, others] > similarities[row, own].max()).sum())
    order = rng.permutation(60)
    np.testing.assert_array_equal(first_hit_ranks(features, wells, wells % 5), expected)
    shuffled = first_hit_ranks(features[order], wells[order], wells[order] % 5)
    np.testing.assert_array_equal(shuffled, np.array(expected)[order])


def test_treatments_rank_the_first_other_with_a_label() -> None:
    table = profiles(_at([0, 30, 10, 100, 60]), labels=["a", "a|d", "b", "b", "c"])
    result = first_hits(table, evaluation(top_percentile=60.0))
    rows = result.tables["first_hit_treatment"]
    np.testing.assert_array_equal(rows["first_hit"], [2, 2, 4, 3, np.nan])
    np.testing.assert_array_equal(rows["top_percent"], [40, 40, 80, 60, np.nan])
    found = score(result, "first_hit_treatment")
    assert (found.value, found.n) == (2, 4)
    assert found.details["fraction"] == 0.5
    assert found.excluded == {"no other treatment shares a label": 1}
    labels = result.tables["first_hit_labels"].set_index("label")
    assert labels.loc["b", "first_hit"] == 3.5
    assert labels.loc["d", "treatments"] == 1
    assert np.isnan(labels.loc["c", "first_hit"])
    # Random orders: one match among four is in the first two in half of the cases.
    assert found.chance == pytest.approx(4 * 0.5)


def test_published_treatments_without_a_partner_have_rank_zero() -> None:
    table = profiles(_at([0, 30, 10, 100, 60]), labels=["a", "a", "b", "b", "c"])
    result = first_hits(table, evaluation(top_percentile=60.0, compat=True))
    assert result.tables["first_hit_treatment"]["first_hit"].tolist() == [2, 2, 4, 3, 0]
    found = score(result, "first_hit_treatment")
    assert (found.value, found.n, found.excluded) == (3, 5, {})


def _wells(level: str = "well") -> ProfileSet:
    """Wells of x at 0, 20 and 50 degrees, of y at 10 and 90; taxol, a control and a well of one-off z."""
    return profiles(
        _at([0, 20, 50, 10, 90, 1, 2, 30]),
        level=level,
        treatments=["x", "x", "x", "y", "y", "taxol@1", "dmso", "z"],
        compounds=["x", "x", "x", "y", "y", "Taxol", "dmso", "z"],
        plates=["P1", "P1", "P2", "P1", "P2", "P1", "P1", "P2"],
        wells=["A1", "A2", "A1", "A3", "A2", "A4", "A5", "A6"],
        controls=[False] * 6 + [True, False],
    )


@pytest.mark.parametrize("level", ["well", "site"])
def test_wells_rank_the_first_other_well_of_their_treatment(level: str) -> None:
    protocol = evaluation(top_percentile=75.0, exclude_from_wells=("taxol",))
    result = first_hits(_wells(level), protocol)
    summary = result.tables[f"first_hit_{level}"].set_index("treatment")
    # Of 6: x at 0 finds 10, then 20; at 20 it finds 10 and 30, then 0; at 50 it finds 30, then 20.
    x = np.array([1, 2, 1])
    assert summary.loc["x", "rows"] == 3
    assert summary.loc["x", "first_hit"] == pytest.approx(x.mean())
    assert summary.loc["x", "std"] == pytest.approx(x.std(ddof=1))
    assert summary.loc["x", "top_percent"] == pytest.approx(100 * x.mean() / 6)
    assert summary.loc["x", "percent_group"] == 23
    assert summary.loc["x", "coefficient_of_variation"] == pytest.approx(x.std(ddof=1) / x.mean())
    assert summary.loc["x", "signal_to_noise"] == pytest.approx(x.mean() / x.std(ddof=1))
    assert summary.loc["y", "first_hit"] == pytest.approx((4 + 3) / 2)
    assert summary.index.tolist() == ["x", "y"]
    found = score(result, f"first_hit_{level}")
    assert (found.value, found.n) == (1, 2)
    assert found.excluded == {
        "treatments of compounds in exclude_from_wells": 1,
        "treatments in one well only": 1,
    }
    assert found.details["ranked"] == 6


def test_sites_of_the_own_well_are_not_searched() -> None:
    table = profiles(
        _at([0, 1, 40, 20, 21]),
        level="site",
        treatments=["x", "x", "x", "y", "y"],
        plates=["P"] * 5,
        wells=["A1", "A1", "A2", "A3", "A4"],
    )
    rows = first_hits(table, evaluation()).tables["first_hit_site"].set_index("treatment")
    # x at 0 and 1 find 20 and 21 before 40; x at 40 finds those before 1.
    assert rows.loc["x", "first_hit"] == 2
    assert rows.loc["y", "first_hit"] == 0
    assert np.isnan(rows.loc["y", "signal_to_noise"])


def test_cells_over_draws() -> None:
    rng = np.random.default_rng(2)

    def draw(spread: float) -> ProfileSet:
        treatment = np.repeat(np.arange(8), 20)
        return profiles(
            rng.normal(size=(8, 16))[treatment] + spread * rng.normal(size=(160, 16)),
            level="cell",
            treatments=[f"t{i}" for i in treatment],
            plates=["P"] * 160,
            wells=[str(i) for i in np.repeat(np.arange(16), 10)],
        )

    draws = [draw(0.01), draw(5.0)]
    result = cell_first_hits(iter(draws), evaluation())
    found = score(result, "first_hit_cell")
    ranks = [
        _by_loop(cells.features, cells.wells.astype(int), cells.treatments.astype(str)) for cells in draws
    ]
    expected = pd.DataFrame(
        {"treatment": np.concatenate([cells.treatments for cells in draws]), "rank": np.concatenate(ranks)}
    )
    means = expected.groupby("treatment")["rank"].mean()
    summary = result.tables["first_hit_cell"].set_index("treatment")
    pd.testing.assert_series_equal(summary["first_hit"], means, check_names=False, check_index_type=False)
    np.testing.assert_allclose(summary["top_percent"], 100 * means / 160)
    assert found.n == 8
    assert found.value == (100 * means / 160 <= 1).sum()
    assert found.details["draws"] == 2
    counts = [
        (pd.Series(rank).groupby(cells.treatments).mean() / 1.6 <= 1).sum()
        for rank, cells in zip(ranks, draws, strict=True)
    ]
    assert counts[0] == 8
    assert found.details["count_per_draw"] == np.mean(counts)


def test_what_cannot_be_searched_has_a_reason() -> None:
    alone = profiles(np.eye(3), level="well", wells=["1", "2", "3"], plates=["P"] * 3)
    assert first_hits(alone, evaluation()).scores[0].reason == "no treatment has treated wells in two wells"
    assert "no treatment" in cell_first_hits([], evaluation()).scores[0].reason
    empty = profiles(np.empty((0, 3)), level="site")
    assert np.isnan(first_hits(empty, evaluation()).scores[0].value)
    unlabelled = first_hits(profiles(np.eye(3)), evaluation())
    assert unlabelled.scores[0].reason == "no treatment has a label"
    with pytest.raises(ValueError, match="Received level 'cell'"):
        first_hits(profiles(np.eye(3), level="cell"), evaluation())
