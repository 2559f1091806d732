"""Starting a worker of this machine, after everything it needs was found to be there."""

import importlib
import os
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dp_assets.config.errors import ClusterError

if TYPE_CHECKING:
    from dp_assets.orchestration.cluster_launcher import ClusterRunLauncher

HOME_VARIABLE = "DAGSTER_HOME"
INSTANCE_FILE = "dagster.yaml"
SHIPPED_INSTANCE = "configs/dagster/cluster.yaml"
LIBRARIES = ("celery", "redis", "dagster_celery", "dagster_postgres")


def start_worker(queues: Sequence[str], concurrency: int) -> None:
    """Execute runs of some queues until the process is told to stop (SIGTERM: after the runs at hand).

    Parameters
    ----------
    queues : of `celery_app.QUEUES`.
    concurrency : how many runs at a time.

    Raises
    ------
    ClusterError : a library, a setting or a server is missing.
    """
    _require_libraries()
    home = _instance_folder()
    launcher = _launcher(home)
    _require_redis(launcher)
    name = _worker_name(queues)
    launcher.celery.worker_main(
        [
            "worker",
            f"--hostname={name}",
            f"--queues={','.join(queues)}",
            f"--concurrency={concurrency}",
            "--loglevel=INFO",
            # Workers do not talk to each other: every run is in the database.
            "--without-gossip",
            "--without-mingle",
        ]
    )


def _worker_name(queues: Sequence[str]) -> str:
    """A name of this process; containers may have one host name, and process numbers in common."""
    return f"{'-'.join(queues)}-{secrets.token_hex(3)}-{os.getpid()}@{socket.gethostname()}"


def _require_libraries() -> None:
    missing = []
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            missing.append(name)
    if missing:
        raise ClusterError(
            f"not installed: {', '.join(missing)}",
            where="this Python environment",
            remedy='install the extra "cluster": pip install "dp-assets[cluster]"',
        )


def _instance_folder() -> Path:
    named = os.environ.get(HOME_VARIABLE)
    if not named:
        raise ClusterError(
            f"{HOME_VARIABLE} is not set",
            where="environment",
            remedy=f"name the folder of the {INSTANCE_FILE} that all machines share ({SHIPPED_INSTANCE})",
        )
    home = Path(named).resolve()
    if not (home / INSTANCE_FILE).is_file():
        raise ClusterError(
            f"there is no {INSTANCE_FILE}",
            where=str(home),
            remedy=f"copy {SHIPPED_INSTANCE} to {home / INSTANCE_FILE}",
        )
    return home


def _launcher(home: Path) -> "ClusterRunLauncher":
    """The run launcher of the instance, whose database was reached."""
    from dagster import DagsterInstance
    from dagster._core.errors import DagsterInvalidConfigError
    from dagster._core.instance import InstanceRef
    from dagster_postgres.utils import DagsterPostgresException
    from sqlalchemy.exc import ArgumentError, OperationalError

    from dp_assets.orchestration.cluster_launcher import ClusterRunLauncher

    try:
        # First without the database, which is tried for a while.
        launcher = InstanceRef.from_dir(str(home)).run_launcher
        with DagsterInstance.from_config(str(home)) as instance:
            instance.get_runs_count()
    except DagsterInvalidConfigError as error:
        raise ClusterError(
            "; ".join(found.message.strip().splitlines()[0] for found in error.errors),
            where=str(home / INSTANCE_FILE),
            remedy="set the environment variables that it names, or correct it",
        ) from error
    except (DagsterPostgresException, OperationalError) as error:
        raise ClusterError(
            f"PostgreSQL does not answer: {_reason(error)}",
            where=f"{home / INSTANCE_FILE}: storage.postgres",
            remedy="start the server, or correct the URL, its user and password (their environment variable)",
        ) from error
    except (ArgumentError, ValueError, ModuleNotFoundError) as error:
        # Not with the error's own words: they repeat pieces of the URL.
        raise ClusterError(
            f"a URL of PostgreSQL or Redis cannot be used ({type(error).__name__})",
            where=str(home / INSTANCE_FILE),
            remedy="write postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE and "
            "redis://:PASSWORD@HOST:PORT/0, with special characters as %XX (their environment "
            "variables)",
        ) from None
    if not isinstance(launcher, ClusterRunLauncher):
        raise ClusterError(
            f"its run launcher is {type(launcher).__name__}, which gives workers nothing to do",
            where=str(home / INSTANCE_FILE),
            remedy=f"use the run_launcher of {SHIPPED_INSTANCE}",
        )
    return launcher


def _reason(error: BaseException) -> str:
    """What the database's own library said; it names server and user, never the password."""
    from psycopg2 import OperationalError  # type: ignore[import-untyped]

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OperationalError):
        cause = cause.__cause__ or cause.__context__
    return str(cause or error).strip().splitlines()[0]


def _require_redis(launcher: "ClusterRunLauncher") -> None:
    import redis
    from redis.connection import parse_url

    for url in filter(None, (launcher.broker, launcher.backend)):
        try:
            redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5).ping()
        except ValueError:
            raise ClusterError(
                "the URL of Redis cannot be used",
                where="run_launcher.config.broker, backend",
                remedy="write redis://:PASSWORD@HOST:PORT/0, special characters of the password as %XX (its "
                "environment variable)",
            ) from None
        except redis.RedisError as error:
            parts = parse_url(url)
            place = f"{parts.get('host', 'localhost')}:{parts.get('port', 6379)}"
            raise ClusterError(
                f"Redis does not answer at {place}: {error}",
                where="run_launcher.config.broker, backend",
                remedy="start the server, or correct the URL (its environment variable)",
            ) from error
