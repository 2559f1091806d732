"""Doing something with many items on all cores, by the clock and in CPU seconds."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def timed(
    items: Sequence[Item], function: Callable[[Item], object], *, threads: int, repeats: int
) -> tuple[list[float], list[float]]:
    """Wall and CPU seconds of one item, for each repetition; one untimed round goes before.

    Parameters
    ----------
    function : called for every item, in threads; what it returns is dropped.
    """
    if not items:
        raise ValueError("Expected something to measure. Received no items.")
    walls, cpus = [], []
    with ThreadPoolExecutor(threads) as pool:

        def all_of_them() -> None:
            for _ in pool.map(lambda item: function(item) is None, items):
                pass

        all_of_them()
        for _ in range(repeats):
            started, cpu_started = time.perf_counter(), time.process_time()
            all_of_them()
            walls.append((time.perf_counter() - started) / len(items))
            cpus.append((time.process_time() - cpu_started) / len(items))
    return walls, cpus
