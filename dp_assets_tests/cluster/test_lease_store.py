"""Leases in a real Redis server, which changes a value only for who knows what stands there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dp_assets.orchestration.lease_store import LeaseStore, lease_store
from dp_assets.orchestration.run_lease import LEASE_SECONDS, RunLease
from dp_assets_tests.cluster.servers import RedisServer

pytestmark = pytest.mark.cluster


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis server, empty."""
    made = RedisServer(tmp_path / "redis")
    try:
        yield made
    finally:
        made.server.stop()


def test_a_value_is_changed_only_where_the_expected_one_stands(server: RedisServer) -> None:
    store: LeaseStore = lease_store(server.url)
    steps = [
        (None, "a#0", True, "a#0"),
        (None, "b#0", False, "a#0"),
        ("b#0", "b#1", False, "a#0"),
        ("b#0", None, False, "a#0"),
        (None, "a#0", True, "a#0"),
        ("a#0", "a#1", True, "a#1"),
        ("a#1", None, True, None),
        ("a#1", "a#2", False, None),
        ("a#1", None, True, None),
    ]
    for held, value, changed, stands in steps:
        assert store.swap("run", held, value, seconds=7) is changed, (held, value)
        assert store.get("run") == stands
        assert server.client.ttl("run") == (-2 if stands is None else 7)


def test_a_lease_lasts_until_it_is_given_back(server: RedisServer) -> None:
    first, second = (RunLease(lease_store(server.url), "run", name) for name in ("first", "second"))
    assert first.claim()
    assert not second.claim()
    assert not second.claim_after(lambda owner: owner != "first")
    assert first.renew()
    assert first.read() == "first#1"
    assert 0 < server.client.ttl("dp-assets:run:run") <= LEASE_SECONDS
    second.release()
    first.release()
    assert first.read() is None
    assert first.claim()
    assert second.claim_after(lambda owner: owner == "first")
    assert not first.renew()
