"""The images held in memory: each cut once while it is there, and never more than there is room for."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.training.image_cache import CutImage, ImageCache


def image(cells: int, flat: tuple[int, ...] = ()) -> CutImage:
    flags = np.zeros((cells, 2), bool)
    flags[list(flat), 1] = True
    return CutImage(np.zeros((cells, 1, 1, 2), np.float32), flags)


def counted(cells: int, cuts: list[int], name: int) -> Callable[[], CutImage]:
    def cut() -> CutImage:
        cuts.append(name)
        return image(cells)

    return cut


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    asked=st.lists(st.integers(0, 5), max_size=40),
    room=st.integers(1, 20),
    least=st.integers(1, 3),
)
def test_against_a_plain_list(sizes: list[int], asked: list[int], room: int, least: int) -> None:
    cache, cuts = ImageCache(room, least), list[int]()
    held: list[int] = []
    expected = []
    for name in (name % len(sizes) for name in asked):
        if name in held:
            held.remove(name)
        else:
            expected.append(name)
        held.append(name)
        while sum(sizes[other] for other in held) > room and len(held) > least:
            held.pop(0)
        found = cache.get(name, counted(sizes[name], cuts, name))
        assert len(found.crops) == sizes[name]
    assert cuts == expected


def test_threads_that_ask_for_one_image_wait_for_the_same() -> None:
    cache, cuts = ImageCache(100, 1), list[int]()
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> CutImage:
        cuts.append(1)
        begun.set()
        assert go_on.wait(10)
        return image(3)

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(cache.get, "a", slow) for _ in range(3)]
        assert begun.wait(10)
        other = pool.submit(cache.get, "b", lambda: image(2))
        assert len(other.result(10).crops) == 2  # another image is not kept waiting
        go_on.set()
        found = [future.result(10) for future in waiting]
    assert len(cuts) == 1
    assert found[0] is found[1] is found[2]


def test_a_failure_reaches_who_asked_and_is_not_held() -> None:
    cache = ImageCache(100, 1)

    def fail() -> CutImage:
        raise ValueError("damaged")

    for _ in range(2):
        with pytest.raises(ValueError, match="damaged"):
            cache.get("a", fail)
    assert len(cache.get("a", lambda: image(4)).crops) == 4


def test_a_cell_that_is_flat_in_one_channel_is_unusable() -> None:
    assert image(5, flat=(0, 3)).unusable.tolist() == [True, False, False, True, False]
