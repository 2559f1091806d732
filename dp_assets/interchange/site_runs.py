"""Tables about cells hold the cells of a site one after the other: where each site begins and ends."""

from collections.abc import Iterator, Sequence


def runs(keys: Sequence[object]) -> Iterator[tuple[int, int]]:
    """First and one past the last row of every run of equal keys."""
    starts = [row for row in range(len(keys)) if row == 0 or keys[row] != keys[row - 1]]
    yield from zip(starts, [*starts[1:], len(keys)], strict=True) if starts else ()
