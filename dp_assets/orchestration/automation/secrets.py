"""Tokens and passwords: from the environment only, and in no message."""

import base64
import binascii
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from dp_assets.config.credentials import masked
from dp_assets.config.errors import ConfigurationError

_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")
# What an address says behind its server: with webhooks, that is the secret.
_ADDRESS_REST = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#'\"<>]+)[/?#][^\s'\"<>)]*")
# urllib3 and requests name server and path apart: "... with url: /services/T0/B0/x".
_PATH_ALONE = re.compile(r"(\burl: )/[^\s'\"<>)]*", re.IGNORECASE)
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASS|KEY|WEBHOOK|CREDENTIAL|AUTH|URL|URI|DSN|PIN\b", re.IGNORECASE)
_SHORTEST_SECRET = 6


def secret(variable: str, key: str) -> str:
    """The value of an environment variable.

    Parameters
    ----------
    key : that names the variable, for the message.

    Raises
    ------
    ConfigurationError : the variable is not set.
    """
    value = os.environ.get(variable)
    if not value:
        raise ConfigurationError(
            f"the environment variable {variable} is not set",
            where=f"project.yaml: {key}",
            remedy="set it where Dagster is started, and start Dagster again",
        )
    return value


@contextmanager
def without(value: str | None, key: str) -> Iterator[None]:
    """Turn what goes wrong in the block into a ConfigurationError that does not hold the secret."""
    try:
        yield
    except ConfigurationError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        raise ConfigurationError(
            _masked(text, value) if value else text,
            where=f"project.yaml: {key}",
            remedy="correct this section, or what it names",
        ) from None


def without_secrets(text: str) -> str:
    """A text of somebody else's program with `***` for whatever in it may be secret.

    That is: of every address all but its server; and the values of environment variables whose names speak of
    tokens, passwords, keys or addresses, as they are, percent-encoded or inside of base64.
    """
    named = {value for name, value in os.environ.items() if _SECRET_NAME.search(name)}
    for value in sorted(named, key=len, reverse=True):
        if len(value) >= _SHORTEST_SECRET:
            text = _masked(text.replace(quote(value, safe=""), "***"), value)
    return _PATH_ALONE.sub(r"\1***", _ADDRESS_REST.sub(r"\1/***", masked(text)))


def _masked(text: str, value: str) -> str:
    """The text without the value, as it is or inside of base64, as servers repeat what they refuse."""
    return _BASE64.sub(lambda word: "***" if _holds(word[0], value) else word[0], text.replace(value, "***"))


def _holds(word: str, value: str) -> bool:
    try:
        return value.encode() in base64.b64decode(word)
    except binascii.Error:
        return False
