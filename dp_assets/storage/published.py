"""What a published result was made from, whatever its format."""

import io
import json
import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from upath import UPath

from dp_assets.config.errors import StoreError
from dp_assets.storage.atomic import write_bytes
from dp_assets.storage.folders import open_folder
from dp_assets.storage.remote import open_stored
from dp_assets.storage.tables import StoredTable, read_provenance

FINGERPRINT_ENTRY = "fingerprint"


def published_fingerprint(path: Path | UPath) -> str | None:
    """The fingerprint of what lies at `path` (Parquet table, npz file or folder), None if nothing usable.

    A damaged result counts as none, so that it is made again instead of being believed. A store that does not
    answer is an error (StoreAccessError): nothing is known of the result then.
    """
    try:
        if path.suffix == ".parquet":
            return read_provenance(StoredTable(path).schema()).get("fingerprint")
        if path.suffix == ".npz":
            return str(read_arrays(path)[FINGERPRINT_ENTRY])
        return open_folder(path).fingerprint
    except (StoreError, FileNotFoundError, KeyError, json.JSONDecodeError):
        return None


def write_arrays(path: Path | UPath, arrays: dict[str, np.ndarray], fingerprint: str) -> None:
    """Write named arrays as a compressed npz file with the fingerprint of what they are made from."""
    # Made in memory: a zip file that cannot go back while it is written has other bytes than one that can.
    sink = io.BytesIO()
    np.savez_compressed(sink, allow_pickle=False, **{**arrays, FINGERPRINT_ENTRY: np.asarray(fingerprint)})
    write_bytes(path, sink.getvalue())


def read_arrays(path: Path | UPath) -> dict[str, np.ndarray]:
    """Read an npz file. FileNotFoundError when it is not there; StoreError when it is damaged."""
    with open_stored(path) as stream:
        try:
            with np.load(stream, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (BadZipFile, ValueError, OSError, EOFError, zlib.error) as error:
            raise StoreError(
                f"the file cannot be read: {error}",
                where=str(path),
                remedy="delete it and materialize its asset again",
            ) from error
