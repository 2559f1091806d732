"""Tokens and passwords: from the environment only, and in no message."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from dp_assets.config.errors import ConfigurationError


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
            text.replace(value, "***") if value else text,
            where=f"project.yaml: {key}",
            remedy="correct this section, or what it names",
        ) from None
