"""Images of OME-Zarr (NGFF 0.4 and 0.5, Zarr formats 2 and 3): the full resolution of one field of view.

A path names the group of the image inside the plate: `plate.zarr/A/1/0`.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from upath import UPath

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.atomic import is_local
from dp_assets.storage.fingerprints import fingerprint, fingerprint_bytes
from dp_assets.storage.image_bytes import REPLACE, blaming_the_file, check_size
from dp_assets.storage.images import ImageInfo
from dp_assets.storage.plane_choice import ResolvedPlane, StackLayout, names_in_order
from dp_assets.storage.plane_stack import check_projection
from dp_assets.storage.tiff_pages import PIXEL_TYPES

if TYPE_CHECKING:
    import zarr

ENDING = ".zarr"
AXES = ("t", "c", "z", "y", "x")
DAMAGED_METADATA = "the OME-Zarr metadata cannot be read"
DAMAGED_CHUNKS = "the chunks cannot be decoded"
_NAME_AN_IMAGE = "give the path of an image inside it, such as plate.zarr/A/1/0"


def is_zarr(path: Path | UPath) -> bool:
    """Whether a path lies in an OME-Zarr: some folder of it, or it itself, ends in `.zarr`."""
    return any(part.lower().endswith(ENDING) for part in str(path).replace("\\", "/").split("/"))


def ome_metadata(group: "zarr.Group") -> Mapping[str, Any]:
    """The NGFF metadata of a group: in 0.5 they have a section of their own."""
    attributes: dict[str, Any] = group.attrs.asdict()
    return attributes.get("ome", attributes)


class ZarrStack:
    """One image of an OME-Zarr (a `PlaneStack`).

    Parameters
    ----------
    path : the image's group.

    Raises
    ------
    ImageFileError : there is no image here, its metadata cannot be read, or its pixels are of another type
        than uint8 and uint16, or more than `maximum_pixels` to a plane.
    """

    def __init__(self, path: Path | UPath, maximum_pixels: int) -> None:
        from dp_assets.storage.zarr_store import open_group

        self.where = str(path)
        with blaming_the_file(DAMAGED_METADATA, self.where):
            group, store = open_group(path)
            ome = ome_metadata(group)
            image = _first_image(ome, self.where)
            name = str(image["datasets"][0]["path"])
            self._array = _array(group, name, self.where)
            self._axes = _axes(image, self._array.ndim)
            labels = [channel.get("label") for channel in ome.get("omero", {}).get("channels", [])]
        self._store = store
        self._folder = path / name
        self._name = name
        sizes = dict(zip(self._axes, self._array.shape, strict=True))
        channels = sizes.get("c", 1)
        self.layout = StackLayout(
            channels, sizes.get("z", 1), sizes.get("t", 1), names_in_order(labels, channels)
        )
        self._shape = (sizes["y"], sizes["x"])
        self._seen: dict[str, tuple[str, int]] = {}
        self._check(maximum_pixels)

    def describe(self, plane: ResolvedPlane, maximum_pixels: int) -> ImageInfo:
        """Size, type and fingerprint; see `PlaneStack`. Reads the chunks of the plane, without decoding."""
        self._check_projection(plane, maximum_pixels)
        size = sum(self._chunk(key)[1] for key in self._chunk_keys(plane))
        return ImageInfo(*self._shape, self._array.dtype.name, size, self._content(plane))

    def content(self, plane: ResolvedPlane) -> str | None:
        """The fingerprint, of local files; see `PlaneStack`. Its bytes are those decoded next."""
        return self._content(plane, hold=True) if is_local(self._folder) else None

    def _content(self, plane: ResolvedPlane, *, hold: bool = False) -> str:
        digests = [self._chunk(key, hold=hold)[0] for key in self._chunk_keys(plane)]
        document = "zarr.json" if self._array.metadata.zarr_format == 3 else ".zarray"
        return fingerprint("zarr", self._chunk(document)[0], plane.selection.fragment, digests)

    def planes(self, plane: ResolvedPlane, maximum_pixels: int) -> Iterator[np.ndarray]:
        """The planes, one after the other; see `PlaneStack`. Reads as many at once as a chunk is deep."""
        self._check_projection(plane, maximum_pixels)
        depth = self._chunk_sizes().get("z", 1)
        first = plane.z.start - plane.z.start % depth
        for start in range(first, plane.z.stop, depth):
            block = range(max(start, plane.z.start), min(start + depth, plane.z.stop))
            yield from self._block(plane, block)

    def _block(self, plane: ResolvedPlane, z: range) -> np.ndarray:
        """Some planes of a channel, (planes, rows, cols)."""
        at: dict[str, Any] = {"t": plane.t, "c": plane.channel, "z": slice(z.start, z.stop)}
        selection = tuple(at.get(axis, slice(None)) for axis in self._axes)
        self._store.absent.clear()
        with blaming_the_file(DAMAGED_CHUNKS, self.where):
            pixels = np.asarray(self._array[selection])
            left = [axis for axis in self._axes if axis not in ("t", "c")]
            pixels = pixels.transpose([left.index(axis) for axis in ("z", "y", "x") if axis in left])
        if self._store.absent:
            raise self._missing(self._store.absent[0])
        return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")).reshape(len(z), *self._shape)

    def _check(self, maximum_pixels: int) -> None:
        found = self._array.dtype.name
        if found not in PIXEL_TYPES:
            raise ImageFileError(
                f"expected unsigned pixels of 8 or 16 bits; the Zarr image is {found}",
                where=self.where,
                remedy="convert the plate to uint8 or uint16",
            )
        check_size(*self._shape, self.where, maximum_pixels)
        chunk = self._chunk_sizes()
        if int(np.prod(list(chunk.values()), dtype=object)) > 4 * max(maximum_pixels, 2**20):
            raise ImageFileError(
                f"the Zarr image claims chunks of {' x '.join(map(str, chunk.values()))}",
                where=self.where,
                remedy=REPLACE,
            )

    def _check_projection(self, plane: ResolvedPlane, maximum_pixels: int) -> None:
        check_projection(len(plane.z), *self._shape, self.where, maximum_pixels)

    def _chunk_sizes(self) -> dict[str, int]:
        """Axis -> size of what is stored as one file: a chunk, or a shard of several."""
        return dict(zip(self._axes, self._array.shards or self._array.chunks, strict=True))

    def _chunk_keys(self, plane: ResolvedPlane) -> Iterator[str]:
        """The names of the files that hold a plane or a projection."""
        size = self._chunk_sizes()
        wanted = {
            "t": range(plane.t, plane.t + 1),
            "c": range(plane.channel, plane.channel + 1),
            "z": plane.z,
            "y": range(self._shape[0]),
            "x": range(self._shape[1]),
        }
        ranges = [
            range(wanted[axis].start // size[axis], (wanted[axis].stop - 1) // size[axis] + 1)
            for axis in self._axes
        ]
        return map(self._array.metadata.encode_chunk_key, itertools.product(*ranges))

    def _chunk(self, key: str, *, hold: bool = False) -> tuple[str, int]:
        """Digest and number of bytes of one stored file; read once. `hold` keeps its bytes to decode."""
        if key not in self._seen:
            try:
                data = (self._folder / key).read_bytes()
            except FileNotFoundError as error:
                raise self._missing(f"{self._name}/{key}") from error
            except OSError as error:
                raise ImageFileError(
                    f"chunk {self._name}/{key} cannot be read ({error.strerror or error})",
                    where=self.where,
                    remedy="check that you may read it",
                ) from error
            if not data:
                raise ImageFileError(f"chunk {self._name}/{key} is empty", where=self.where, remedy=REPLACE)
            self._seen[key] = (fingerprint_bytes(data), len(data))
            if hold:
                self._store.hold(f"{self._name}/{key}", data)
        return self._seen[key]

    def _missing(self, key: str) -> ImageFileError:
        return ImageFileError(
            f"chunk {key} is missing",
            where=self.where,
            remedy="copy the plate again; if the image is truly black there, write it with its empty chunks "
            "(write_empty_chunks in zarr)",
        )


def _first_image(ome: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The first of a group's multiscales."""
    images = ome.get("multiscales")
    if images:
        return images[0]
    kind = next((kind for kind in ("plate", "well") if kind in ome), None)
    what = f"is a {kind} of images" if kind else "has no image in it (no multiscales metadata)"
    raise ImageFileError(f"the Zarr group {what}", where=where, remedy=_NAME_AN_IMAGE)


def _array(group: "zarr.Group", name: str, where: str) -> "zarr.Array[Any]":
    """The array of a resolution level."""
    import zarr

    found = group.get(name)
    if not isinstance(found, zarr.Array):
        raise ImageFileError(f"the array {name} of the image is missing", where=where, remedy=REPLACE)
    return found


def _axes(image: Mapping[str, Any], dimensions: int) -> list[str]:
    """The axes in the order of the array; before NGFF 0.3 they had no names."""
    listed = image.get("axes") or AXES[-dimensions:]
    axes = [str(axis["name"] if isinstance(axis, Mapping) else axis).lower() for axis in listed]
    if len(axes) != dimensions or len(set(axes)) != dimensions or not {"y", "x"} <= set(axes) <= set(AXES):
        raise ValueError(f"axes {', '.join(axes)} of an array of {dimensions} dimensions")
    return axes
