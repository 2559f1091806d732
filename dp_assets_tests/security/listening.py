"""Which addresses processes listen on, read from the kernel's tables (Linux)."""

import ipaddress
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

LISTEN = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")


def listening_addresses(pids: Iterable[int]) -> list[tuple[str, int]]:
    """(IP address, port) of every TCP socket that some processes listen on, sorted."""
    sockets = {number for pid in pids for number in _sockets_of(pid)}
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == LISTEN and rest[5] in sockets:
                address, port = local.split(":")
                found.add((_address(address), int(port, 16)))
    return sorted(found)


def _sockets_of(pid: int) -> set[str]:
    numbers = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            match = _SOCKET.fullmatch(os.readlink(link))
        except FileNotFoundError:
            continue
        if match:
            numbers.add(match[1])
    return numbers


def _address(text: str) -> str:
    """The kernel writes addresses in words of four bytes, in the order of the machine."""
    words = [bytes.fromhex(text[start : start + 8]) for start in range(0, len(text), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return str(ipaddress.ip_address(packed))
