"""PostgreSQL and Redis of Debian, each in a folder of its own and on a port of its own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import redis

from dp_assets_tests.cluster.processes import Machine, free_port, wait_until

DATABASE = "dagster"
USER = "dp"
PATIENCE = 60.0


def postgres_program(name: str) -> str | None:
    """A program of PostgreSQL, which Debian does not put on the path."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[4]))
    return str(versions[-1]) if versions else shutil.which(name)


def missing_packages() -> list[str]:
    """The Debian packages that `make test-cluster` installs."""
    missing = []
    if postgres_program("initdb") is None:
        missing.append("postgresql")
    if shutil.which("redis-server") is None:
        missing.append("redis-server")
    return missing


class Postgres:
    """A database server that starts empty."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._data = folder / "data"
        self._data.mkdir()
        self._log = folder / "postgres.log"
        self.port = free_port()
        # PostgreSQL refuses to run as root.
        self._as = (
            [] if os.geteuid() else ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        )
        if self._as:
            owner = pwd.getpwnam("postgres")
            for path in (folder, self._data):
                os.chown(path, owner.pw_uid, owner.pw_gid)
            _let_through(folder)
        self._call("initdb", "-D", str(self._data), "-U", USER, "-A", "trust", "--no-sync")
        self.server = self.start()
        with closing(
            psycopg2.connect(host="127.0.0.1", port=self.port, user=USER, dbname="postgres")
        ) as made:
            made.autocommit = True
            made.cursor().execute(f"CREATE DATABASE {DATABASE}")

    @property
    def url(self) -> str:
        """The URL as SQLAlchemy wants it."""
        return f"postgresql+psycopg2://{USER}@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> Machine:
        """Start the server and wait until it answers."""
        program = postgres_program("postgres")
        assert program is not None
        options = ["-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-F"]
        server = Machine([*self._as, program, *options], self._log)
        wait_until(self._answers, f"PostgreSQL answers ({self._log})", PATIENCE)
        return server

    def start_again(self) -> None:
        """Start it after a stop."""
        self.server = self.start()

    def stop(self) -> None:
        """Stop it without waiting for its clients to leave."""
        self.server.stop(by=signal.SIGINT)

    def _answers(self) -> bool:
        try:
            psycopg2.connect(host="127.0.0.1", port=self.port, user=USER, dbname="postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def _call(self, program: str, *arguments: str) -> None:
        named = postgres_program(program)
        assert named is not None, f"{program} is not installed"
        done = subprocess.run(
            [*self._as, named, *arguments],
            cwd=self._data.parent,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


class RedisServer:
    """A Redis server that writes down what it holds."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.port = free_port()
        self.server = self.start()

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        """A connection to it."""
        return redis.Redis.from_url(self.url)

    def start(self) -> Machine:
        """Start the server and wait until it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        options += ["--appendonly", "yes"]
        server = Machine(["redis-server", *options], self._folder / "redis.log")
        wait_until(self._answers, f"Redis answers ({self._folder})", PATIENCE)
        return server

    def restart_empty(self, after: float) -> None:
        """Kill it, and start it again after some seconds with nothing in it."""
        self.server.kill()
        shutil.rmtree(self._folder / "appendonlydir")
        time.sleep(after)
        self.server = self.start()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False


def _let_through(folder: Path) -> None:
    """pytest's folders are only for their owner: let the database's user pass through."""
    base = Path(tempfile.gettempdir())
    for parent in folder.parents:
        if base in parent.parents:
            parent.chmod(parent.stat().st_mode | 0o011)
