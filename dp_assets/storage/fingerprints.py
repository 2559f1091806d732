"""Short names for content: what a result was made from, as a string that changes when anything of it does."""

import hashlib
import json
from typing import Any

import pyarrow as pa

DIGEST_BYTES = 16


def fingerprint(*parts: Any) -> str:
    """A digest of JSON-able values, in order (32 hexadecimal digits; BLAKE2b).

    Parts are serialised with sorted keys, so equal values give equal digests on every machine.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return fingerprint_bytes(text.encode())


def fingerprint_bytes(data: bytes | memoryview) -> str:
    """A digest of raw bytes (32 hexadecimal digits; BLAKE2b)."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def fingerprint_table(table: pa.Table) -> str:
    """A digest of a table's column names, types and values, independent of how its rows are chunked."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    sink = pa.BufferOutputStream()
    plain = table.replace_schema_metadata(None).combine_chunks()
    with pa.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain)
    digest.update(memoryview(sink.getvalue()))
    return digest.hexdigest()
