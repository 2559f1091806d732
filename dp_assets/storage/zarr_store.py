"""Zarr groups opened so that a missing chunk is noticed, and one that was compared is not read again.

Zarr itself takes a missing chunk for one of zeros, which a half-copied image has many of. (Imported only
where a Zarr is read: the library takes a while to load.)
"""

from pathlib import Path

import zarr
from upath import UPath
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.errors import NodeNotFoundError
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.atomic import is_local
from dp_assets.storage.image_bytes import IN_MEMORY


class NoticingStore(WrapperStore[Store]):
    """A store that remembers what was asked of it and is not there.

    Attributes
    ----------
    absent : keys, in the order in which they were asked for.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.absent: list[str] = []
        self._held: dict[str, bytes] = {}
        self._held_bytes = 0

    def hold(self, key: str, data: bytes) -> None:
        """Answer the next request for a whole value with these bytes, unless too many are held already."""
        if key not in self._held and self._held_bytes + len(data) <= IN_MEMORY:
            self._held[key] = data
            self._held_bytes += len(data)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes under a key; None when it is not there."""
        if byte_range is None and key in self._held:
            data = self._held.pop(key)
            self._held_bytes -= len(data)
            return prototype.buffer.from_bytes(data)
        found = await super().get(key, prototype, byte_range)
        if found is None:
            self.absent.append(key)
        return found


def open_group(path: Path | UPath) -> tuple[zarr.Group, NoticingStore]:
    """A Zarr group (format 2 or 3) for reading, and its store.

    Raises
    ------
    ImageFileError : there is no group.
    """
    if is_local(path):
        inner: Store = LocalStore(str(path), read_only=True)
    else:
        options = dict(getattr(path, "storage_options", {}))
        inner = FsspecStore.from_url(str(path), storage_options=options, read_only=True)
    store = NoticingStore(inner)
    try:
        # Consolidated metadata are a copy, which may say something else than the documents fingerprinted.
        return zarr.open_group(store, mode="r", use_consolidated=False), store
    except (NodeNotFoundError, FileNotFoundError) as error:
        raise ImageFileError(
            "there is no Zarr group here",
            where=str(path),
            remedy="check the path in the index, upper and lower case included: it names the image's folder, "
            "such as plate.zarr/A/1/0",
        ) from error
