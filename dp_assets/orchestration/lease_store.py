"""Where leases are kept: a Redis server, in which a value is only changed by who knows what stands there."""

from typing import Protocol

import redis

TIMEOUT_SECONDS = 5.0
# One step for the server, so that nothing can happen between the look and the change. "" stands for no value.
SWAP = """
local held = redis.call('GET', KEYS[1]) or ''
if held == ARGV[2] then return 1 end
if held ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
return 1
"""


class LeaseStore(Protocol):
    """What leases need of a store."""

    def get(self, name: str, /) -> str | None:
        """The value of a name; None when there is none, or its time is over."""
        ...

    def swap(self, name: str, held: str | None, value: str | None, /, *, seconds: int) -> bool:
        """Put a value in the place of another one, unless something else stands there by now.

        Parameters
        ----------
        held : what is to stand there; None for nothing.
        value : what to put there; None for nothing.
        seconds : how long it stays.

        Returns
        -------
        Whether `value` stands there now; True also when it did before, as after a repeated command.
        """
        ...


class RedisLeases:
    """Leases in a Redis server.

    Parameters
    ----------
    client : of the server.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def get(self, name: str, /) -> str | None:
        """See `LeaseStore`; redis.RedisError when the server does not answer."""
        held = self._client.get(name)
        return held.decode() if isinstance(held, bytes) else None

    def swap(self, name: str, held: str | None, value: str | None, /, *, seconds: int) -> bool:
        """See `LeaseStore`; redis.RedisError when the server does not answer."""
        return bool(self._client.eval(SWAP, 1, name, held or "", value or "", str(seconds)))


def lease_store(url: str) -> LeaseStore:
    """The store in the Redis server at `url`; it connects when it is used, and again after a restart."""
    return RedisLeases(
        redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            health_check_interval=30,
        )
    )
