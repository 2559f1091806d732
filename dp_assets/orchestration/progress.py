"""Progress of a stage: a line in the log every few seconds, every step to who listens (the command line)."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

SECONDS_BETWEEN_LINES = 10.0

Listener = Callable[[str, int, int], None]
_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener(stage, done, total)` for every step of stages run in this process."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def reporter(context: dg.AssetExecutionContext, what: str) -> Callable[[int, int], None]:
    """A progress callback for a stage: `what` is the unit counted, e.g. "sites"."""
    # A step that makes several assets goes by the first of them.
    key = min(key.to_user_string() for key in context.selected_asset_keys)
    name = key + (f" {context.partition_key}" if context.has_partition_key else "")
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        for listener in _listeners:
            listener(name, done, total)
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and done < total:
            context.log.info(f"{done} of {total} {what}")
            last = now

    return report
