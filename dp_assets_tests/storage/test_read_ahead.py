"""The ordered parallel map: same results as a loop, bounded, and it stops when its consumer does."""

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.storage.read_ahead import read_ahead


@settings(max_examples=30, deadline=None)
@given(items=st.lists(st.integers(0, 3)), workers=st.integers(1, 4), ahead=st.none() | st.integers(0, 3))
def test_results_come_in_the_order_of_the_items(items: list[int], workers: int, ahead: int | None) -> None:
    def slow(item: int) -> int:
        time.sleep(item * 1e-4)
        return item * 10

    expected = [(item, item * 10) for item in items]
    assert list(read_ahead(items, slow, workers=workers, ahead=ahead)) == expected


def test_no_more_than_the_limit_is_computed_ahead() -> None:
    asked = []

    def items() -> Iterator[int]:
        for number in range(100):
            asked.append(number)
            yield number

    results = read_ahead(items(), lambda item: item, workers=2, ahead=3)
    for number in range(5):
        assert next(results) == (number, number)
        assert len(asked) <= number + 1 + 3


def test_several_threads_work_at_once() -> None:
    both = threading.Barrier(2, timeout=5)
    assert len(list(read_ahead([1, 2], lambda _: both.wait(), workers=2))) == 2


def test_what_the_function_raises_is_raised_at_the_items_turn_and_the_rest_is_dropped() -> None:
    done = []

    def function(item: int) -> int:
        if item == 2:
            raise KeyError(item)
        done.append(item)
        return item

    found: list[tuple[int, int]] = []
    with pytest.raises(KeyError):
        found.extend(read_ahead(range(1000), function, workers=1))
    done_then = len(done)
    assert done_then < 10
    time.sleep(0.01)
    assert len(done) == done_then


def test_a_consumer_that_stops_stops_the_threads() -> None:
    done: list[int] = []
    results = read_ahead(range(1000), done.append, workers=2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    done_then = len(done)
    time.sleep(0.01)
    assert len(done) == done_then < 20
