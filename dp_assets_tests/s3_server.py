"""An S3 server of this process (moto) that can be told to fail, and a bucket on it."""

import itertools
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from upath import UPath
from werkzeug.serving import make_server

from dp_assets.storage.places import place_at
from dp_assets.storage.s3 import S3Store

NUMBERS = itertools.count()
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "key-of-the-test",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
Fault = Callable[[str, str], str | None]


class S3Server:
    """moto behind a server that counts requests, and answers some of them with an error.

    Attributes
    ----------
    fault : (method, path) -> None to serve the request, "cut" to drop the connection, or the error to answer,
        such as "503 SlowDown".
    requests : (method, path with query) of every request, in order.
    """

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.requests: list[tuple[str, str]] = []
        self._served = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()

    def count(self, method: str, ending: str = "") -> int:
        """How many requests of a method were for paths that end like this."""
        return sum(asked == method and path.endswith(ending) for asked, path in self.requests)

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]
        self.requests.append((method, f"{path}?{query}" if query else path))
        answer = self.fault(method, path) if self.fault is not None else None
        if answer is None:
            return self._served(environ, start)
        if answer == "cut":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        status, code = answer.split()
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>not now ({code})</Message></Error>"
        start(f"{status} {code}", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body.encode() if method != "HEAD" else b""]


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    """The server, one for all tests."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture
def s3_server(s3_process: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The server without faults, and the variables that a user sets, in this process and those it starts."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    # Three attempts in all are enough to see that there are several.
    settings = {**VARIABLES, "AWS_ENDPOINT_URL": s3_process.address, "AWS_MAX_ATTEMPTS": "3"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    S3Store.clear_instance_cache()
    s3_process.fault, s3_process.requests = None, []
    yield s3_process
    s3_process.fault = None
    S3Store.clear_instance_cache()


@pytest.fixture
def bucket(s3_server: S3Server) -> UPath:
    """An empty bucket."""
    name = f"bucket{next(NUMBERS)}"
    boto3.client("s3").create_bucket(Bucket=name)
    return place_at(f"s3://{name}")
