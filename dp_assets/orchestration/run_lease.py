"""Who works on a run: a lease in Redis that the process which executes the run renews every few seconds.

The lease answers two questions. A worker that is handed a run asks whether another one has it already (Redis
hands a task out again when its first taker was slow to finish it, or lost its connection). Run monitoring
asks whether the taker still lives: Celery itself never learns that a whole machine went down.

Nothing here compares the clocks of two machines: a lease is fresh when it has changed since the last look.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis

from dp_assets.orchestration.lease_store import TIMEOUT_SECONDS, LeaseStore

RENEW_SECONDS = 5.0
# How long a run without a sign of life still belongs to its taker.
LEASE_SECONDS = 120

logger = logging.getLogger(__name__)


def owner_name(worker: str, process: int) -> str:
    """A name for a process of a worker, unique among all processes of all machines, now and later."""
    return f"{worker}/{process}/{uuid.uuid4().hex}"


def process_of(owner: str, worker: str) -> int | None:
    """The number of an owner's process; None when it is not one of this worker."""
    of, _, rest = owner.rpartition("/")[0].rpartition("/")
    return int(rest) if of == worker and rest.isdecimal() else None


class RunLease:
    """The lease of one run.

    Parameters
    ----------
    store : where leases are kept.
    run_id : of the run.
    owner : the process that takes it (`owner_name`).
    """

    def __init__(self, store: LeaseStore, run_id: str, owner: str = "") -> None:
        self._store = store
        self._key = f"dp-assets:run:{run_id}"
        self._owner = owner
        self._count = 0

    def claim(self) -> bool:
        """Take the run, unless somebody has it."""
        return self._put(None, self._value())

    def claim_after(self, is_gone: Callable[[str], bool]) -> bool:
        """Take the run, unless somebody has it who is not gone, or who came while this one looked.

        Parameters
        ----------
        is_gone : whether an owner will never show a sign of life again; asked for the one who has it.
        """
        held = self.read()
        if held is not None and not is_gone(_owner_of(held)):
            return False
        return self._put(held, self._value())

    def renew(self) -> bool:
        """Show a sign of life; False when the run is somebody else's.

        A lease that is gone, since Redis was restarted empty, is written again.
        """
        while True:
            held = self.read()
            if held is not None and _owner_of(held) != self._owner:
                return False
            self._count += 1
            # Else it ran out just now, or somebody has taken it: look again.
            if self._put(held, self._value()):
                return True

    def release(self) -> None:
        """Give the run up, if it is still this owner's."""
        held = self.read()
        if held is not None and _owner_of(held) == self._owner:
            self._put(held, None)

    def read(self) -> str | None:
        """The owner and its latest sign of life; None when nobody has the run."""
        return self._store.get(self._key)

    def _put(self, held: str | None, value: str | None) -> bool:
        return self._store.swap(self._key, held, value, seconds=LEASE_SECONDS)

    def _value(self) -> str:
        return f"{self._owner}#{self._count}"


def _owner_of(held: str) -> str:
    return held.rpartition("#")[0]


class Heartbeat:
    """Renews a lease from a thread, and gives up when the run is no longer this process's.

    Parameters
    ----------
    lease : claimed.
    is_over : whether the run was declared failed or cancelled meanwhile; may raise when it cannot tell.
    give_up : called, from the thread, when the run belongs to another process or has been over for two beats.
        (Two: a run that fails by itself ends the process a moment after its status says so.)
    every : seconds between two beats.
    """

    def __init__(
        self,
        lease: RunLease,
        is_over: Callable[[], bool],
        give_up: Callable[[str], None],
        every: float = RENEW_SECONDS,
    ) -> None:
        self._lease = lease
        self._is_over = is_over
        self._give_up = give_up
        self._every = every
        self._stopped = threading.Event()
        self._beats_over = 0

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Renew the lease while the block runs."""
        thread = threading.Thread(target=self._run, name="dp-run-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join(timeout=2 * TIMEOUT_SECONDS)

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            reason = self.beat()
            if reason is not None and not self._stopped.is_set():
                self._give_up(reason)
                return

    def beat(self) -> str | None:
        """One beat; why to give up, or None."""
        try:
            if not self._lease.renew():
                return "another worker has taken this run"
        except redis.RedisError as error:
            # Redis restarts: the next beat tries again, and run monitoring cannot look meanwhile either.
            logger.warning("no sign of life could be given for this run: %s", type(error).__name__)
        except Exception as error:  # a heart that stops would have a living run called lost
            logger.warning("the sign of life failed: %s: %s", type(error).__name__, error)
        try:
            over = self._is_over()
        except Exception as error:  # any failure of the database: not a reason to stop computing
            logger.warning("the state of this run could not be read: %s", type(error).__name__)
            return None
        self._beats_over = self._beats_over + 1 if over else 0
        return "the run was declared over while it was executed" if self._beats_over > 1 else None


class LeaseWatch:
    """For how long the lease of each run has not changed, by the clock of the one who looks.

    Parameters
    ----------
    clock : seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[str | None, float]] = {}

    def silence(self, run_id: str, held: str | None) -> float:
        """Seconds since this run's lease last changed, of which the first look is the beginning."""
        now = self._clock()
        last, since = self._seen.get(run_id, ("", now))
        if run_id not in self._seen or (held is not None and held != last):
            since = now
        self._seen[run_id] = (held if held is not None else last, since)
        return now - since

    def look_away(self) -> None:
        """Start all over: nobody could look for a while, so silence until now means nothing."""
        self._seen.clear()

    def forget(self, run_id: str) -> None:
        """The run is over."""
        self._seen.pop(run_id, None)
