"""Categories keep their colours apart, in an order people expect."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.figures.categories import FAINT, MOST_CATEGORIES, categorize, natural_key


@given(
    st.lists(st.sampled_from([f"P{i}" for i in range(40)] + [""]), min_size=1, max_size=200),
    st.integers(1, MOST_CATEGORIES),
)
def test_every_row_has_an_entry_and_counts_add_up(values: list[str], most: int) -> None:
    found = categorize(values, most=most)
    assert found.codes.shape == found.colours.shape == (len(values),)
    counted = np.bincount(found.codes, minlength=len(found.entries))
    assert counted.tolist() == [entry.count for entry in found.entries]
    named = {entry.name: place for place, entry in enumerate(found.entries)}
    for value, code in zip(values, found.codes, strict=True):
        # A category of its own, or one shared with others.
        assert code == named.get(value or "none", code)
        if not value:
            assert found.entries[code].colour == FAINT
    if not found.is_scale:
        assert len(found.entries) <= most + 2


def test_as_many_categories_as_there_are_colours_all_differ() -> None:
    found = categorize([f"label {i}" for i in range(MOST_CATEGORIES)])
    assert len({entry.colour for entry in found.entries}) == MOST_CATEGORIES
    assert not found.is_scale


def test_rare_categories_are_put_together() -> None:
    values = [f"a{i}" for i in range(MOST_CATEGORIES) for _ in range(5)] + ["rare 1", "rare 2", "rare 3"]
    found = categorize(values)
    assert found.entries[-1].name == "3 others"
    assert found.entries[-1].count == 3
    assert found.codes[-3:].tolist() == [MOST_CATEGORIES] * 3


def test_many_even_categories_lie_on_a_scale_in_natural_order() -> None:
    plates = [f"Week{week}_{number}" for week in range(1, 11) for number in (100, 99, 7, 8, 9)]
    found = categorize(plates[::-1])
    assert found.is_scale
    assert [entry.name for entry in found.entries][:6] == [
        "Week1_7",
        "Week1_8",
        "Week1_9",
        "Week1_99",
        "Week1_100",
        "Week2_7",
    ]
    assert len({entry.colour for entry in found.entries}) == 50


def test_words_with_a_meaning_have_colours_of_their_own() -> None:
    first = {entry.name: entry.colour for entry in categorize(["wrong", "correct", "not scored"]).entries}
    second = {entry.name: entry.colour for entry in categorize(["wrong", "a", "b", "correct"]).entries}
    assert first["correct"] == second["correct"] != first["wrong"] == second["wrong"]
    assert [entry.name for entry in categorize(np.array([True, False, True])).entries] == ["no", "yes"]


@pytest.mark.parametrize(
    ("first", "second"), [("P2", "P10"), ("a", "B"), ("2", "10"), ("x9y", "x10a"), ("7", "a")]
)
def test_numbers_in_names_are_sorted_as_numbers(first: str, second: str) -> None:
    assert sorted([second, first], key=natural_key) == [first, second]
