"""Addresses that hold a user and a password: seen, and shown without them."""

import re

_USER_PART = re.compile(r"(?<=://)[^\s@]*@")


def holds_credentials(address: str) -> bool:
    """Whether an address is of the kind `protocol://user:password@host`; a password may hold slashes."""
    _, found, rest = address.partition("://")
    host, _, _ = rest.partition("/")
    port = host.partition(":")[2]
    return bool(found) and ("@" in host or (bool(port) and not port.isdigit() and "@" in rest))


def masked(text: str) -> str:
    """The text with `***` for what stands between `://` and `@` in it."""
    return _USER_PART.sub("***@", text)
