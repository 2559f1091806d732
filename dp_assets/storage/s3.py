"""The file system of `s3://`: s3fs with retries, without remembered listings, with errors that say more."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import fsspec
from fsspec.asyn import sync_wrapper
from s3fs import S3FileSystem  # type: ignore[import-untyped]

from dp_assets.storage.access_errors import access_errors

BLOCK = 32 * 2**20
"""Bytes of one part of a large upload, the most that a writing file holds in memory. S3 takes 10,000 parts:
an object may have 320 GB."""

PARTS_AT_ONCE = 4
ATTEMPTS = 5
CONNECT_SECONDS = 10
READ_SECONDS = 60


def _translated(method: Callable[..., Any]) -> Callable[..., Any]:
    """A coroutine method of the file system whose errors are those of `access_errors`."""

    @wraps(method)
    async def call(self: "S3Store", *args: Any, **kwargs: Any) -> Any:
        with access_errors(_where(args, kwargs)):
            return await method(self, *args, **kwargs)

    return call


def _where(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    if "Bucket" in kwargs:
        return "/".join(part for part in ("s3:/", kwargs["Bucket"], kwargs.get("Key", "")) if part)
    return f"s3://{str(args[0]).removeprefix('s3://')}" if args else "s3://"


class S3Store(S3FileSystem):
    """s3fs as this program needs it.

    Listings are not remembered: another process may have published something. Throttled and broken requests
    are repeated by botocore (mode and number from AWS_RETRY_MODE and AWS_MAX_ATTEMPTS, when set). Every
    request goes through `_call_s3`, every body of an object through the three methods beside it.
    """

    # botocore repeats a request; once more after that is enough
    retries = 2

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        settings = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {
                "mode": os.environ.get("AWS_RETRY_MODE", "standard"),
                "max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", ATTEMPTS)),
            },
            **kwargs.pop("config_kwargs", {}),
        }
        kwargs = {
            "use_listings_cache": False,
            "default_block_size": BLOCK,
            "max_concurrency": PARTS_AT_ONCE,
            **kwargs,
        }
        super().__init__(*args, config_kwargs=settings, **kwargs)

    _call_s3 = _translated(S3FileSystem._call_s3)
    _cat_file = _translated(S3FileSystem._cat_file)
    _get_file = _translated(S3FileSystem._get_file)
    call_s3 = sync_wrapper(_call_s3)

    async def _put_file(self, lpath: str, rpath: str, **kwargs: Any) -> None:
        await super()._put_file(lpath, rpath, **{"chunksize": BLOCK, **kwargs})


def use_for_s3() -> None:
    """Make this the file system of `s3://` in this process."""
    for protocol in ("s3", "s3a"):
        fsspec.register_implementation(protocol, S3Store, clobber=True)
