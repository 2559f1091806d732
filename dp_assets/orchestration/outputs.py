"""What asset bodies hand to the IO managers: something to publish, or the word that what is there holds."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pyarrow as pa
from upath import UPath

from dp_assets.imaging.illumination import IlluminationFunctions
from dp_assets.storage.folders import Folder, FolderWriter
from dp_assets.storage.published import FINGERPRINT_ENTRY, read_arrays
from dp_assets.storage.tables import StoredTable, TableStream

Metadata = Mapping[str, dg.MetadataValue | str | int | float | bool]


@dataclass(frozen=True, kw_only=True)
class Output:
    """What every output has.

    Attributes
    ----------
    held : what is to be held until the output is published: the lock of the work folder it is made from.
        Nothing where the published result is kept. The IO manager lets go of it, or whoever drops the output.
    """

    held: ExitStack = field(default_factory=ExitStack)


@dataclass(frozen=True)
class FolderOutput(Output):
    """A folder asset.

    Attributes
    ----------
    writer : fills the folder; None keeps the one that is published.
    describe : metadata made from the published folder.
    """

    writer: FolderWriter | None
    describe: Callable[[Folder], Metadata]


@dataclass(frozen=True)
class TableOutput(Output):
    """A table asset with its own metadata.

    Attributes
    ----------
    table : the table or stream to write; None keeps the one that is published.
    describe : metadata made from the published table.
    """

    table: pa.Table | TableStream | None
    describe: Callable[[StoredTable], Metadata]


@dataclass(frozen=True)
class StoredIllumination:
    """Illumination functions with the fingerprint of what they were made from."""

    functions: IlluminationFunctions
    fingerprint: str

    @classmethod
    def read(cls, path: UPath) -> "StoredIllumination":
        """What is published at `path`. FileNotFoundError when nothing is; StoreError when it is damaged."""
        arrays = read_arrays(path)
        fingerprint = str(arrays.pop(FINGERPRINT_ENTRY))
        return cls(IlluminationFunctions.from_arrays(arrays), fingerprint)


@dataclass(frozen=True)
class IlluminationOutput(Output):
    """The illumination asset: new functions, or None to keep the published ones.

    `finished` is called after publication (clears the work folder).
    """

    stored: StoredIllumination | None
    describe: Callable[[IlluminationFunctions], Metadata]
    finished: Callable[[], None] = lambda: None


def unchanged(recomputed: bool) -> dict[str, Any]:
    """Metadata that says whether this run computed anything."""
    return {"recomputed": recomputed}
