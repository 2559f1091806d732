"""Short names for content: what a result was made from, as a string that changes when anything of it does."""

import json
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

DIGEST_BYTES = 16
_BLOCK = 2**20


def fingerprint(*parts: Any) -> str:
    """A digest of JSON-able values, in order (32 hexadecimal digits; BLAKE3).

    Parts are serialised with sorted keys, so equal values give equal digests on every machine.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return fingerprint_bytes(text.encode())


def fingerprint_bytes(data: bytes | memoryview) -> str:
    """A digest of raw bytes (32 hexadecimal digits; BLAKE3)."""
    return blake3(data).hexdigest(length=DIGEST_BYTES)


def fingerprint_stream(stream: IO[bytes]) -> str:
    """`fingerprint_bytes` of all that a stream holds from here on, read block by block."""
    digest = blake3()
    while block := stream.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest(length=DIGEST_BYTES)


def fingerprint_table(table: pa.Table) -> str:
    """A digest of a table's column names, types and values, however its rows are chunked or sliced."""
    digest = blake3()
    for name, column in zip(table.column_names, table.columns, strict=True):
        digest.update(fingerprint(name, str(column.type), len(column)).encode())
        for part in _canonical_bytes(column):
            digest.update(part)
    return digest.hexdigest(length=DIGEST_BYTES)


def _canonical_bytes(column: pa.ChunkedArray) -> Iterator[bytes]:
    """The same bytes for equal columns: Arrow's buffers also hold what a slice or a null hides."""
    yield pc.is_null(column).to_numpy().tobytes()
    if pa.types.is_string(column.type):
        text = pc.fill_null(column, "")
        yield pc.binary_length(text).to_numpy().tobytes()
        yield "".join(text.to_pylist()).encode()
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        yield pc.fill_null(column, pa.scalar(0, column.type)).to_numpy().tobytes()
    else:
        yield repr(column.to_pylist()).encode()
