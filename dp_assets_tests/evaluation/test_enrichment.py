"""Enrichment against scipy's exact test and a loop over pairs."""

import numpy as np
import pytest
from scipy.stats import fisher_exact
from statsmodels.stats.multitest import multipletests

from dp_assets.evaluation.enrichment import contingency, enrichment, odds_ratio
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles, score


def _clustered(seed: int, n: int = 120, labels: int = 12, noise: float = 0.9) -> ProfileSet:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(labels, 6))
    number = rng.integers(labels, size=n)
    names = [f"l{i}" if i % 3 else f"l{i}|l{(i + 1) % labels}" for i in number]
    return profiles(centres[number] + noise * rng.normal(size=(n, 6)), labels=names)


def _by_loop(table: ProfileSet, percentile: float) -> list[tuple[int, int, int, int]]:
    features = table.features / np.linalg.norm(table.features, axis=1, keepdims=True)
    sets = [set(label.split("|")) for label in table.labels]
    found = []
    for i in range(len(features)):
        others = [j for j in range(len(features)) if j != i]
        similarities = [float(features[i] @ features[j]) for j in others]
        matches = [bool(sets[i] & sets[j]) for j in others]
        if not any(matches):
            continue
        threshold = np.percentile(similarities, percentile)
        cells = [0, 0, 0, 0]
        for similarity, match in zip(similarities, matches, strict=True):
            cells[2 * (similarity <= threshold) + (not match)] += 1
        found.append(tuple(cells))
    return found


@pytest.mark.parametrize("percentile", [99.0, 90.0])
def test_counts_ratios_and_p_values(percentile: float) -> None:
    table = _clustered(1)
    result = enrichment(table, evaluation(top_percentile=percentile))
    queries = result.tables["enrichment"]
    cells = _by_loop(table, percentile)
    columns = ["near_matches", "near_others", "far_matches", "far_others"]
    np.testing.assert_array_equal(queries[columns], cells)
    ratios, p_values = [], []
    for a, b, c, d in cells:
        ratio, p = fisher_exact([[a, b], [c, d]], alternative="greater")
        ratios.append(d if np.isinf(ratio) else 0 if np.isnan(ratio) else ratio)
        p_values.append(p)
    np.testing.assert_allclose(queries["odds_ratio"], ratios)
    np.testing.assert_allclose(queries["p_value"], p_values)
    with np.errstate(divide="ignore"):
        significant, corrected, _, _ = multipletests(p_values)
    np.testing.assert_allclose(queries["corrected_p_value"], corrected)
    mean = score(result, "enrichment")
    assert mean.value == pytest.approx(np.mean(ratios))
    assert mean.n == len(cells)
    assert mean.low < mean.value < mean.high
    assert score(result, "enrichment_significant").value == significant.sum()
    assert score(result, "enrichment_hits").value == sum(a > 0 for a, *_ in cells)
    curve = result.tables["enrichment_curve"].set_index("top_percent")["folds"]
    assert curve[100 - percentile] == pytest.approx(np.mean(ratios))


def test_odds_ratios_that_are_infinite_or_undefined() -> None:
    a, b, c, d = np.array([[2, 0, 1, 50], [0, 0, 3, 50], [0, 2, 3, 50], [1, 2, 0, 7], [4, 1, 2, 3]]).T
    np.testing.assert_allclose(odds_ratio(a, b, c, d), [50, 0, 0, 7, 6])


def test_equal_similarities_are_not_above_their_percentile() -> None:
    table = contingency(np.full((1, 10), 0.5), np.arange(10)[None] < 3, 99.0)
    assert (table.near_matches[0], table.near_others[0]) == (0, 0)
    assert table.odds_ratios()[0] == 0
    assert table.p_values()[0] == 1


def test_chance_is_what_shuffled_labels_get() -> None:
    rng = np.random.default_rng(3)
    table = _clustered(2, noise=0.0001)
    ratios, chances = [], []
    for _ in range(60):
        shuffled = profiles(table.features, labels=rng.permutation(table.labels))
        found = score(enrichment(shuffled, evaluation(top_percentile=95.0, bootstraps=10)), "enrichment")
        ratios.append(found.value)
        chances.append(found.chance)
    error = np.std(ratios) / np.sqrt(len(ratios))
    assert abs(np.mean(ratios) - np.mean(chances)) < 4 * error
    assert np.mean(chances) > 0.5


def test_without_shared_labels_it_does_not_apply() -> None:
    result = enrichment(profiles(np.eye(3), labels=["a", "b", "c"]), evaluation())
    assert {one.name for one in result.scores} == {
        "enrichment",
        "enrichment_significant",
        "enrichment_hits",
    }
    assert all(np.isnan(one.value) and one.reason for one in result.scores)
