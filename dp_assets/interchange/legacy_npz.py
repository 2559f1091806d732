"""DeepProfiler's feature files: one npz per field of view with `features`, `metadata` and `locations`.

`metadata` is a pickled dict, the one place in the project where a pickle is written (readers of these files
expect it) or read (without running what it asks for, see `plain_pickle`).
"""

import lzma
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from upath import UPath

from dp_assets.config.errors import StoreError
from dp_assets.interchange.plain_pickle import RefusedPickleError, read_object_array
from dp_assets.storage.atomic import atomic_file

MODEL = "Metadata_Model"
# Releases before 0.3 called the array "f" and wrote nothing else.
FEATURE_ARRAYS = ("features", "f")
# pycytominer's name for features whose network is not known.
UNKNOWN_MODEL = "DP"
PICKLE_PROTOCOL = 3
NEW_START = b"\x80\x03cnumpy._core.multiarray\n"
OLD_START = b"\x80\x03cnumpy.core.multiarray\n"
MOST_BYTES = 2**32
"""Largest array read: compressed zeros of a few megabytes could fill all memory."""
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    KeyError,
    EOFError,
    OSError,
    MemoryError,
    # An encrypted file, or (NotImplementedError) an unknown way of compression.
    RuntimeError,
)


@dataclass(frozen=True)
class LegacyFeatures:
    """The content of one file.

    Attributes
    ----------
    features : (cells, features) float32.
    metadata : what the file says about its field of view, types as pandas guessed them; empty in old files.
    locations : (cells, columns), float64 or objects, in the column order of the locations file (X usually
        first); None in old files.
    """

    features: np.ndarray
    metadata: dict[str, Any]
    locations: np.ndarray | None

    @property
    def model(self) -> str:
        """Name of the network, the prefix of feature names; "DP" when the file does not say."""
        return str(self.metadata.get(MODEL, UNKNOWN_MODEL))


def write_legacy_npz(
    path: Path | UPath, features: np.ndarray, metadata: Mapping[str, str], locations: np.ndarray
) -> None:
    """Write a file as DeepProfiler does; it appears complete or not at all.

    Parameters
    ----------
    features : (cells, features) float32.
    metadata : column of the index -> value, and `Metadata_Model`.
    locations : (cells, columns) float64, or objects when a column holds text.
    """
    arrays = {
        "features": features,
        "metadata": np.array(dict(metadata), dtype=object),
        "locations": locations,
    }
    with atomic_file(path) as sink, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                _write_array(entry, array)


def _write_array(sink: IO[bytes], array: np.ndarray) -> None:
    if not array.dtype.hasobject:
        np.lib.format.write_array(sink, array, allow_pickle=False)
        return
    np.lib.format.write_array_header_1_0(sink, np.lib.format.header_data_from_array_1_0(array))
    data = pickle.dumps(array, protocol=PICKLE_PROTOCOL)
    # NumPy 2 moved the module; under its old name NumPy 1, which DeepProfiler runs with, finds it too.
    sink.write(OLD_START + data.removeprefix(NEW_START) if data.startswith(NEW_START) else data)


def read_legacy_npz(path: Path | UPath) -> LegacyFeatures:
    """Read a feature file.

    Raises
    ------
    FileNotFoundError : it is not there.
    StoreError : it is cut off or damaged, holds no features or another number of locations than cells, or its
        `metadata` asks for something else than plain values.
    """
    content = _read_arrays(path, headers_only=False)
    return replace(content, features=np.ascontiguousarray(content.features, np.float32))


@dataclass(frozen=True)
class LegacySummary:
    """What one file holds, found without decompressing its features.

    Attributes
    ----------
    cells, dimension : shape of `features`.
    metadata, model : as in `LegacyFeatures`.
    """

    cells: int
    dimension: int
    metadata: dict[str, Any]
    model: str


def summarise_legacy_npz(path: Path | UPath) -> LegacySummary:
    """Look into a feature file. Raises as `read_legacy_npz`, except for damage inside the features."""
    content = _read_arrays(path, headers_only=True)
    cells, dimension = content.features.shape
    return LegacySummary(cells, dimension, content.metadata, content.model)


def _read_arrays(path: Path | UPath, *, headers_only: bool) -> LegacyFeatures:
    with path.open("rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                names = {name.removesuffix(".npy") for name in archive.namelist()}
                key = next((name for name in FEATURE_ARRAYS if name in names), None)
                if key is None:
                    raise _unusable(
                        path, f"it holds no features, only {', '.join(sorted(names)) or 'nothing'}"
                    )
                features = np.asarray(_entry(archive, key, header_only=headers_only))
                metadata = _entry(archive, "metadata") if "metadata" in names else {}
                locations = _entry(archive, "locations") if "locations" in names else None
        except RefusedPickleError as error:
            raise StoreError(
                f"the file is not read: {error}",
                where=str(path),
                remedy="only dicts of text and numbers are read from these files: if you trust the file, "
                "write it again with a plain dict as `metadata`",
            ) from error
        except DAMAGED as error:
            raise _unusable(path, f"it is cut off or damaged ({error})") from error
    if features.ndim != 2 or features.dtype.kind != "f" or not features.shape[1]:
        raise _unusable(
            path, f"`{key}` is {_shape(features)} {features.dtype}; expected (cells, features) floats"
        )
    if not isinstance(metadata, dict):
        raise _unusable(path, f"`metadata` is no dict but {type(metadata).__name__}")
    if locations is not None:
        locations = np.asarray(locations)
        if locations.ndim != 2 or len(locations) != len(features):
            raise _unusable(
                path, f"`locations` is {_shape(locations)}, but `{key}` holds {len(features)} cells"
            )
    return LegacyFeatures(features, {str(name): value for name, value in metadata.items()}, locations)


def _entry(archive: zipfile.ZipFile, name: str, *, header_only: bool = False) -> Any:
    """One array; with `header_only` one of its shape and type that takes no memory."""
    size = archive.getinfo(f"{name}.npy").file_size
    if size > MOST_BYTES and not header_only:
        raise ValueError(f"{name}.npy claims {size:,} bytes, more than {MOST_BYTES:,}")
    with archive.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise ValueError(f"{name}.npy is of format {version}")
        shape, _, dtype = read_header(stream)
        if header_only and not dtype.hasobject:
            return np.broadcast_to(np.zeros((), dtype), shape)
        if dtype.hasobject:
            values = read_object_array(stream)
            return np.array(values, dtype=object) if shape else values
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)


def _shape(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape)) or "a single value"


def _unusable(path: Path | UPath, what: str) -> StoreError:
    return StoreError(
        what,
        where=str(path),
        remedy="replace the file by a sound copy, or remove it to go on without this site",
    )
