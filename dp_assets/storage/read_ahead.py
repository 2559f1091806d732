"""An ordered parallel map with a bounded queue: readers run ahead of the consumer, memory stays constant."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    items: Iterable[Item], function: Callable[[Item], Result], *, workers: int, ahead: int | None = None
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, function(item)) in the order of `items`, computed by threads.

    Parameters
    ----------
    function : runs in a thread; it should spend its time in code that releases the interpreter lock. What it
        raises is raised here, at the item's turn.
    workers : number of threads.
    ahead : how many results may wait (default: twice the workers).
    """
    limit = ahead if ahead is not None else 2 * workers
    pending: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            for item in items:
                pending.append((item, pool.submit(function, item)))
                if len(pending) > limit:
                    done, future = pending.popleft()
                    yield done, future.result()
            while pending:
                done, future = pending.popleft()
                yield done, future.result()
        finally:
            for _, future in pending:
                future.cancel()
