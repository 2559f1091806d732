"""Tokens and passwords: from the environment only, and in no message."""

import base64
import binascii
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from dp_assets.config.errors import ConfigurationError

_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")


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


def _masked(text: str, value: str) -> str:
    """The text without the value, as it is or inside of base64, as servers repeat what they refuse."""
    return _BASE64.sub(lambda word: "***" if _holds(word[0], value) else word[0], text.replace(value, "***"))


def _holds(word: str, value: str) -> bool:
    try:
        return value.encode() in base64.b64decode(word)
    except binascii.Error:
        return False
