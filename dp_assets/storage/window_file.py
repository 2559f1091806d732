"""Random access to the windows of a crop store, here or on an object store, from many threads."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from upath import UPath

from dp_assets.storage.access_errors import access_errors
from dp_assets.storage.atomic import is_local
from dp_assets.storage.remote import cached

RANGES_AT_ONCE = 64
"""Windows asked for in one go, where each is a request to an object store."""


class WindowFile:
    """`crops.bin`, opened: the file itself, its copy in the read cache, or the object where there is none."""

    _stream: IO[bytes] | None = None

    def __init__(self, path: Path | UPath) -> None:
        """Open the file. Raises FileNotFoundError when it is missing, StoreAccessError when it is refused."""
        self._path = path
        self._stream = path.open("rb") if is_local(path) else cached(UPath(path))
        if self._stream is None:
            with access_errors(str(path)):
                self._size = int(path.stat().st_size)

    def read(self, ranges: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """The bytes of (offset, length) ranges, in the order asked for; fewer where the file ends before.

        Raises
        ------
        FileNotFoundError : the object was removed meanwhile.
        StoreAccessError : the store refuses, or does not answer.
        """
        if self._stream is not None:
            for offset, length in ranges:
                # at a position: threads share the file
                yield os.pread(self._stream.fileno(), length, offset)
            return
        for start in range(0, len(ranges), RANGES_AT_ONCE):
            yield from self._fetch(ranges[start : start + RANGES_AT_ONCE])

    def _fetch(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        path = UPath(self._path)
        starts = [min(offset, self._size) for offset, _ in ranges]
        ends = [min(offset + length, self._size) for offset, length in ranges]
        if any(start == end for start, end in zip(starts, ends, strict=True)):
            # A range beyond the end is an error of the store; here it reads as nothing.
            return [b"" for _ in ranges]
        with access_errors(str(path)):
            return path.fs.cat_ranges([path.path] * len(ranges), starts, ends, on_error="raise")

    def __del__(self) -> None:
        if self._stream is not None:
            self._stream.close()
