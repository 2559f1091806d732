"""Matches and rankings."""

import numpy as np

from dp_assets.evaluation.matches import shared_labels
from dp_assets.evaluation.retrieval import retrieval
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles

# Everything that means something in a regular expression.
_ODD = ["a|b (c)+", "b (c)+", "b c", "a.", "ab", ".*", "(", "a|"]


def test_labels_are_compared_as_they_are() -> None:
    labels = profiles(np.ones((len(_ODD), 2)), labels=_ODD)
    sets = labels.label_sets("|")
    found = shared_labels(sets)
    for i, first in enumerate(_ODD):
        for j, second in enumerate(_ODD):
            shared = {p.strip() for p in first.split("|")} & {p.strip() for p in second.split("|")} - {""}
            assert found[i, j] == bool(shared), (first, second)
    assert found[0, 1]
    assert found[0, 7]
    assert not found[0, 2]


def test_without_a_separator_labels_must_be_equal() -> None:
    labels = profiles(np.ones((3, 2)), labels=["a|b", "a", "a|b"])
    found = shared_labels(labels.label_sets(""))
    np.testing.assert_array_equal(found, [[1, 0, 1], [0, 1, 0], [1, 0, 1]])


def test_rows_without_labels_match_nothing() -> None:
    assert not shared_labels([frozenset(), frozenset()]).any()
    assert shared_labels([]).shape == (0, 0)


def test_queries_have_a_match_besides_themselves() -> None:
    table = profiles(
        np.random.default_rng(1).normal(size=(6, 3)),
        labels=["a", "", "a|b", "c", "b", "a"],
        controls=[False] * 5 + [True],
    )
    found = retrieval(table, evaluation())
    assert found.treatments.treatments.tolist() == ["t0", "t2", "t3", "t4"]
    assert found.queries.tolist() == [0, 1, 3]
    assert found.relevant_counts.tolist() == [1, 2, 1]
    assert found.excluded == {"controls": 1, "no label": 1, "no other treatment shares a label": 1}
    assert not found.matches.diagonal().any()
    assert found.reason == ""


def test_rankings_are_nearest_first_without_the_query() -> None:
    table = profiles([[1, 0], [1, 0.1], [0, 1], [1, 1]], labels=["a", "b", "a", "a"])
    first, third, fourth = retrieval(table, evaluation()).rankings()
    assert first.relevant.tolist() == [False, True, True]
    assert (np.diff(first.similarities) < 0).all()
    assert third.relevant.tolist() == [True, False, True]
    assert fourth.relevant.tolist() == [False, True, True]


def test_ties_are_in_the_order_of_rows() -> None:
    table = profiles([[1, 0], [0, 1], [0, 1], [0, 2]], labels=["a", "b", "a", "b"])
    first = next(retrieval(table, evaluation()).rankings())
    assert first.relevant.tolist() == [False, True, False]


def test_reasons_why_nothing_can_be_ranked() -> None:
    def reason(labels: list[str]) -> str:
        return retrieval(profiles(np.eye(3), labels=labels), evaluation()).reason

    assert reason(["", "", ""]) == "no treatment has a label"
    assert reason(["a", "b", "c"]) == "no label is shared by two treatments"
    assert reason(["a", "a", "a"]) == "every treatment shares a label with every other"
    assert reason(["a", "a", "b"]) == ""
