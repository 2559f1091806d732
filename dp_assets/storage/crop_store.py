"""The crop store: every cell of a plate as an integer window with a margin, lossless, in the source's depth.

A store is a published folder: `crops.bin` (windows one after the other), `index.parquet` (where each cell's
window lies, where it came from and where the true centre is) and the manifest. No labels and no splits: those
may change without touching a pixel. Resampling to the crop a network sees, masking and normalisation happen
when crops are read. Written by `crop_parts`.

A store of masked cells holds one more plane after the channels of every window: 255 on the pixels of the
cell's own object, 0 elsewhere. Its index says which object that is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from upath import UPath

from dp_assets.config.errors import StoreAccessError, StoreError
from dp_assets.storage.crop_codec import CODEC, decode_window
from dp_assets.storage.folders import Folder, open_folder
from dp_assets.storage.schemas import CROP_INDEX, MASKED_CROP_INDEX, TableSchema
from dp_assets.storage.tables import read_table
from dp_assets.storage.window_file import WindowFile

WINDOWS = "crops.bin"
INDEX = "index.parquet"


def index_schema(masked: bool) -> TableSchema:
    """The schema of the index, of masked cells or not."""
    return MASKED_CROP_INDEX if masked else CROP_INDEX


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
                remedy="materialize single_cells of this plate again (imported crops: import them again)",
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
        try:
            table = read_table(self.folder.path / INDEX)
        except FileNotFoundError as error:
            raise self._damaged(f"{INDEX} is missing") from error
        except StoreAccessError:
            raise
        except StoreError as error:
            raise self._damaged(f"{INDEX}: {error.problems[0].what}") from error
        return index_schema(self.mask_sampling is not None).enforce(table)

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

    def stored_bytes(self, offset: int, length: int) -> bytes:
        """A piece of `crops.bin`. Raises StoreError when it ends before."""
        return next(self._pieces([(offset, length)])) if length else b""

    def _read(self, rows: Sequence[int] | np.ndarray) -> Iterator[bytes]:
        """The encoded windows of some cells, in the order asked for."""
        return self._pieces([(int(self._offsets[row]), int(self._lengths[row])) for row in rows])

    def _pieces(self, ranges: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """The bytes of (offset, length) ranges of `crops.bin`."""
        for (offset, length), data in zip(ranges, self._file.read(ranges), strict=True):
            if len(data) != length:
                raise self._damaged(f"{WINDOWS} ends before byte {offset + length}")
            yield data

    def _damaged(self, what: str) -> StoreError:
        return StoreError(
            what,
            where=str(self.folder.path),
            remedy="materialize the single_cells asset of this plate again with `force: true` (or --force)",
        )
