"""The crop store: every cell of a plate as an integer window with a margin, lossless, in the source's depth.

A store is a published folder: `crops.bin` (windows one after the other), `index.parquet` (where each cell's
window lies, where it came from and where the true centre is) and the manifest. No labels and no splits: those
may change without touching a pixel. Resampling to the crop a network sees, masking and normalisation happen
when crops are read.

A store of masked cells holds one more plane after the channels of every window: 255 on the pixels of the
cell's own object, 0 elsewhere. Its index says which object that is.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from dp_assets.config.errors import StoreError
from dp_assets.storage.crop_codec import CODEC, decode_window, encode_window
from dp_assets.storage.folders import Folder, open_folder
from dp_assets.storage.schemas import CROP_INDEX, MASKED_CROP_INDEX, TableSchema
from dp_assets.storage.tables import read_table
from dp_assets.storage.window_file import WindowFile
from dp_assets.storage.work import WorkFolder

WINDOWS = "crops.bin"
INDEX = "index.parquet"


def empty_index(*, masked: bool = False) -> pa.Table:
    """The index of a store without cells."""
    required = _index_schema(masked).required
    return pa.schema([pa.field(name, kind) for name, (kind, _) in required.items()]).empty_table()


def _index_schema(masked: bool) -> TableSchema:
    return MASKED_CROP_INDEX if masked else CROP_INDEX


def write_site_part(work: WorkFolder, fingerprint: str, windows: np.ndarray, columns: dict[str, Any]) -> None:
    """Store one site's windows in the work folder.

    Parameters
    ----------
    windows : (cells, side, side, channels), uint8 or uint16; of masked cells with the mask as last plane.
    columns : the index columns except `offset` and `length`, one value per cell; of masked cells with
        `object`.
    """
    encoded = [encode_window(window) for window in windows]
    lengths = [len(data) for data in encoded]
    offsets = np.cumsum([0, *lengths])[:-1]
    types = {name: kind for name, (kind, _) in _index_schema("object" in columns).required.items()}
    data = {**columns, "offset": offsets, "length": lengths}
    index = pa.table({name: pa.array(data[name], kind) for name, kind in types.items()})
    work.write_part(fingerprint, ".bin", b"".join(encoded))
    sink = io.BytesIO()
    pq.write_table(index, sink)
    # The index is written last: a part counts as finished when its index is there.
    work.write_part(fingerprint, ".parquet", sink.getvalue())


def has_site_part(work: WorkFolder, fingerprint: str) -> bool:
    """Whether the site with this fingerprint is finished."""
    return work.part(fingerprint, ".parquet").exists()


def flat_cells(work: WorkFolder, fingerprints: Iterable[str]) -> dict[str, int]:
    """Cells of one grey level in some channel: channels (comma-joined) -> how many, over finished sites."""
    counts: dict[str, int] = {}
    for fingerprint in fingerprints:
        for channels in read_table(work.part(fingerprint, ".parquet"))["flat_channels"].to_pylist():
            if channels:
                counts[channels] = counts.get(channels, 0) + 1
    return counts


def cells_off_objects(work: WorkFolder, fingerprints: Iterable[str]) -> tuple[int, int]:
    """How many masked cells of finished sites lie on no object, and how many share theirs."""
    outside = shared = 0
    for fingerprint in fingerprints:
        objects = read_table(work.part(fingerprint, ".parquet"), ["object"])["object"].to_numpy()
        _, counts = np.unique(objects[objects > 0], return_counts=True)
        outside += int((objects <= 0).sum())
        shared += int(counts[counts > 1].sum())
    return outside, shared


def assemble_store(
    folder: Path, work: WorkFolder, fingerprints: Iterable[str], *, masked: bool = False
) -> pa.Table:
    """Write `crops.bin` and `index.parquet` from site parts, in the order given; return the index.

    Parameters
    ----------
    masked : whether the parts are of masked cells.
    """
    indexes = [empty_index(masked=masked)]
    offset = 0
    with (folder / WINDOWS).open("wb") as sink:
        for fingerprint in fingerprints:
            data = work.part(fingerprint, ".bin").read_bytes()
            part = read_table(work.part(fingerprint, ".parquet"))
            shifted = pa.array(np.asarray(part["offset"]) + offset, pa.int64())
            indexes.append(part.set_column(part.schema.get_field_index("offset"), "offset", shifted))
            sink.write(data)
            offset += len(data)
    index = _index_schema(masked).enforce(pa.concat_tables(indexes))
    pq.write_table(index, folder / INDEX, compression="zstd")
    return index


@dataclass(frozen=True)
class CropStore:
    """A published crop store.

    Attributes
    ----------
    folder : the published folder; its manifest holds `channels`, `dtype`, `side`, `geometry`, `cells`,
        `failures`; of masked cells also `mask` and `mask_sampling`.
    """

    folder: Folder

    @classmethod
    def open(cls, path: Path | UPath) -> "CropStore":
        """Open the store at `path`. FileNotFoundError when never published, StoreError when damaged."""
        folder = open_folder(path)
        if folder.manifest.get("codec") != CODEC:
            raise StoreError(
                f"the crop store is written with codec {folder.manifest.get('codec')!r}; expected {CODEC!r}",
                where=str(path),
                remedy="materialize the single_cells asset of this plate again",
            )
        return cls(folder)

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names in the order of the windows' last axis."""
        return tuple(self.folder.manifest["channels"])

    @property
    def mask_sampling(self) -> Literal["nearest", "original"] | None:
        """How crops are masked, "nearest" or "original"; None when the cells are not masked."""
        return self.folder.manifest["mask_sampling"] if self.folder.manifest.get("mask") else None

    @property
    def side(self) -> int:
        """Rows and columns of every window, in pixels."""
        return int(self.folder.manifest["side"])

    @property
    def dtype(self) -> np.dtype:
        """Type of the windows: uint8 or uint16."""
        return np.dtype(self.folder.manifest["dtype"])

    @property
    def fingerprint(self) -> str:
        """What the windows were made from."""
        return self.folder.fingerprint

    @cached_property
    def index(self) -> pa.Table:
        """One row per cell, in the order of the windows (schema `crop index`, or `masked crop index`)."""
        return _index_schema(self.mask_sampling is not None).enforce(read_table(self.folder.path / INDEX))

    def __len__(self) -> int:
        return int(self.folder.manifest["cells"])

    def windows(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The windows of some cells, in the order asked for, not masked.

        Parameters
        ----------
        rows : row numbers of the index, any order, repetition allowed.

        Returns
        -------
        (cells, side, side, channels) array of the store's dtype.
        """
        return self._planes(rows)[..., : len(self.channels)]

    def windows_and_masks(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The windows of some masked cells, and which pixels are the cell's own.

        Returns
        -------
        Windows as `windows`, and masks (cells, side, side) uint8: 255 on the cell's own object, 0 elsewhere.
        """
        if self.mask_sampling is None:
            raise ValueError(f"Expected a store of masked cells. Received {self.folder.path}.")
        planes = self._planes(rows)
        return planes[..., :-1], planes[..., -1].astype(np.uint8)

    def _planes(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(cells, side, side, channels), with the mask as one more channel where there is one."""
        shape = (self.side, self.side, len(self.channels) + (self.mask_sampling is not None))
        out = np.empty((len(rows), *shape), self.dtype)
        for position, (row, data) in enumerate(zip(rows, self._read(rows), strict=True)):
            try:
                out[position] = decode_window(data, shape, self.dtype)
            except (RuntimeError, ValueError) as error:
                raise self._damaged(f"the window of row {row} in {WINDOWS} cannot be decoded") from error
        return out

    @cached_property
    def _offsets(self) -> np.ndarray:
        return self.index["offset"].to_numpy()

    @cached_property
    def _lengths(self) -> np.ndarray:
        return self.index["length"].to_numpy()

    @cached_property
    def _file(self) -> WindowFile:
        try:
            return WindowFile(self.folder.path / WINDOWS)
        except FileNotFoundError as error:
            raise self._damaged(f"{WINDOWS} is missing") from error

    def _read(self, rows: Sequence[int] | np.ndarray) -> Iterator[bytes]:
        """The encoded windows of some cells, in the order asked for."""
        ranges = [(int(self._offsets[row]), int(self._lengths[row])) for row in rows]
        for (offset, length), data in zip(ranges, self._file.read(ranges), strict=True):
            if len(data) != length:
                raise self._damaged(f"{WINDOWS} ends before byte {offset + length}")
            yield data

    def _damaged(self, what: str) -> StoreError:
        return StoreError(
            what,
            where=str(self.folder.path),
            remedy="materialize the single_cells asset of this plate again",
        )
