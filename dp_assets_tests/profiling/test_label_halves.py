"""Halves of the labels never share one."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.profiling.label_halves import label_halves

LABELS = st.lists(st.frozensets(st.sampled_from("abcdefghij"), max_size=2), min_size=1, max_size=40)


def of(half: np.ndarray, labels: Sequence[frozenset[str]]) -> set[str]:
    return {label for inside, found in zip(half, labels, strict=True) if inside for label in found}


@settings(max_examples=100, deadline=None)
@given(labels=LABELS, seed=st.integers(0, 100))
def test_no_label_is_in_both_halves(labels: list[frozenset[str]], seed: int) -> None:
    counts = {label: sum(label in found for found in labels) for label in "abcdefghij"}
    repeated = {label for label, count in counts.items() if count > 1}
    halves = label_halves(labels, 3, seed)
    assert len(halves) == (3 if len(repeated) >= 4 else 0)
    for first, second in halves:
        assert not of(first, labels) & of(second, labels)
        assert not (first & second).any()
        one_label = np.array([len(found) == 1 for found in labels])
        assert (first | second)[one_label].all()
        assert not (first | second)[[not found for found in labels]].any()


def test_halves_are_even_and_follow_the_seed() -> None:
    labels = [frozenset([name]) for name in "aabbccddeeff"] + [frozenset([f"once{n}"]) for n in range(6)]
    halves = label_halves(labels, 20, 1)
    for first, second in halves:
        assert first[:12].sum() == second[:12].sum() == 6
        assert first[12:].sum() == second[12:].sum() == 3
    assert len({first.tobytes() for first, _ in halves}) > 5
    again = label_halves(labels, 20, 1)
    other = label_halves(labels, 20, 2)
    assert all((a[0] == b[0]).all() for a, b in zip(halves, again, strict=True))
    assert any((a[0] != b[0]).any() for a, b in zip(halves, other, strict=True))


def test_a_treatment_with_a_label_in_each_half_is_in_neither() -> None:
    labels = [frozenset([name]) for name in "aabbccdd"] + [frozenset(pair) for pair in ("ab", "cd", "ac")]
    for first, second in label_halves(labels, 10, 0):
        for row, found in enumerate(labels):
            assert first[row] == (found <= of(first, labels))
            assert second[row] == (found <= of(second, labels))
        assert not (first | second).all()
