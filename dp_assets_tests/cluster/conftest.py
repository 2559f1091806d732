"""PostgreSQL and Redis for the tests of several machines; they are skipped where these are not installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dp_assets_tests.cluster.servers import Postgres, RedisServer, missing_packages


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Postgres, RedisServer]]:
    """Both servers, empty."""
    missing = missing_packages()
    if missing:
        pytest.fail(f"not installed: {', '.join(missing)} (`make test-cluster` installs them, as root)")
    postgres, redis = Postgres(tmp_path / "postgres"), RedisServer(tmp_path / "redis")
    try:
        yield postgres, redis
    finally:
        postgres.stop()
        redis.server.stop()
