"""What an object store refuses or fails to do, said as what, where and what to do: in this one place."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from dp_assets.config.errors import StoreAccessError, StoreUnreachableError

CREDENTIALS = (
    "check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE) and what they may "
    "do there: list, get, put and delete objects"
)
AGAIN = "nothing published is lost: check the network and the address (AWS_ENDPOINT_URL), then run it again"

_NO_CREDENTIALS = {
    "CredentialRetrievalError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "RefreshWithMFAUnsupportedError",
    "SSOError",
    "TokenRetrievalError",
}
_REFUSED = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AuthorizationHeaderMalformed"}
_BUSY = {errno.EBUSY, errno.EIO, errno.EREMOTEIO, errno.ETIMEDOUT, errno.EPIPE}
# libraries below fsspec whose exceptions of the network are no OSError
_NETWORK = ("aiohttp", "botocore", "requests", "urllib3")


@contextmanager
def access_errors(where: str) -> Iterator[None]:
    """Whatever an object store refuses or fails to do in the block becomes a StoreAccessError.

    Only requests to a store belong into the block: what this machine's disk refuses looks the same. An object
    that is not there stays a FileNotFoundError.
    """
    try:
        yield
    except Exception as error:
        translated = access_error(error, where)
        if translated is None:
            raise
        raise translated from error


def access_error(error: Exception, where: str) -> StoreAccessError | None:
    """The error to show for one of fsspec, s3fs or botocore; None when it says something else."""
    if isinstance(error, StoreAccessError):
        return None
    code = _code(error)
    if code == "NoSuchBucket":
        return StoreAccessError(
            "the bucket does not exist", where=where, remedy="create it, or correct the URL in project.yaml"
        )
    if isinstance(error, FileNotFoundError):
        return None
    if type(error).__name__ in _NO_CREDENTIALS:
        return StoreAccessError(f"there are no usable credentials ({error})", where=where, remedy=CREDENTIALS)
    if isinstance(error, PermissionError) or code in _REFUSED:
        return StoreAccessError(f"the store refuses access ({_text(error)})", where=where, remedy=CREDENTIALS)
    if type(error).__name__ == "FileExpired":
        return StoreUnreachableError(
            "the object was replaced while it was read", where=where, remedy="run it again"
        )
    if _is_network(error):
        return StoreUnreachableError(f"the store does not answer ({_text(error)})", where=where, remedy=AGAIN)
    if code is not None:
        return StoreAccessError(f"the store answers {code}: {_text(error)}", where=where, remedy=AGAIN)
    return None


def _code(error: BaseException | None) -> str | None:
    """What the store called the error, from the first exception of the chain that knows."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict) and "Error" in response:
            return str(response["Error"].get("Code"))
        error = error.__cause__
    return None


def _is_network(error: Exception) -> bool:
    if isinstance(error, (ConnectionError, TimeoutError)) or type(error).__name__ == "FSTimeoutError":
        return True
    if isinstance(error, OSError) and error.errno in _BUSY:
        return True
    return _code(error) is None and type(error).__module__.partition(".")[0] in _NETWORK


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
