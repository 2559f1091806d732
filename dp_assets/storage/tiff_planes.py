"""TIFF files of several planes: OME-TIFF, ImageJ hyperstacks, and plain files of several pages."""

from collections.abc import Iterator
from functools import cached_property
from xml.etree import ElementTree

import numpy as np
import tifffile

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.image_bytes import CONVERT, REPLACE, ImageBytes, blaming_the_file
from dp_assets.storage.images import ImageInfo
from dp_assets.storage.plane_choice import ResolvedPlane, StackLayout, names_in_order
from dp_assets.storage.plane_stack import check_projection
from dp_assets.storage.tiff_pages import DAMAGED_HEADER, DAMAGED_PIXELS, check_page, decode_page

MOST_PLANES = 2**20
"""Planes that the metadata in a file may claim; without a limit a few bytes could claim all memory."""

_ONE_FILE = "write one OME-TIFF per field of view, with all its channels and planes inside"


class TiffStack:
    """An opened TIFF file of several planes (a `PlaneStack`).

    Parameters
    ----------
    tiff, source : the file, opened, and its bytes.

    Raises
    ------
    ImageFileError : it is in colour or of another type, holds several images, has axes that make no field of
        view, or its metadata speak of other files.
    """

    def __init__(self, tiff: tifffile.TiffFile, source: ImageBytes, maximum_pixels: int) -> None:
        self.where = source.where
        self._tiff = tiff
        self._source = source
        rows, cols, self._dtype = check_page(tiff.pages.first, source, maximum_pixels)
        self._shape = (rows, cols)
        with blaming_the_file(DAMAGED_HEADER, source.where):
            named = _ome_channel_names(tiff, source.where)
            self._series = _only_series(tiff, source.where)
            self._sizes = _leading_sizes(self._series, source.where)
        self.layout = _layout(self._sizes, named)

    def describe(self, plane: ResolvedPlane, maximum_pixels: int) -> ImageInfo:
        """Size, type and fingerprint; see `PlaneStack`."""
        self._check_size(plane, maximum_pixels)
        if self._in_one_page:
            size = sum(self._span(place)[1] for place in self._places(plane))
        else:
            pages = [self._page(place, maximum_pixels) for place in self._places(plane)]
            size = sum(sum(page.databytecounts) for page in pages)
        return ImageInfo(*self._shape, self._dtype, size, self._content(plane))

    def content(self, plane: ResolvedPlane) -> str | None:
        """The fingerprint, where all of the file is in memory; see `PlaneStack`."""
        return self._content(plane) if self._source.is_in_memory else None

    def _content(self, plane: ResolvedPlane) -> str:
        return fingerprint("plane", self._file_fingerprint, plane.selection.fragment)

    def planes(self, plane: ResolvedPlane, maximum_pixels: int) -> Iterator[np.ndarray]:
        """The planes, one after the other; see `PlaneStack`."""
        self._check_size(plane, maximum_pixels)
        for place in self._places(plane):
            if self._in_one_page:
                yield self._part_of_page(place)
            else:
                yield decode_page(self._page(place, maximum_pixels), self._dtype, self.where)

    @cached_property
    def _file_fingerprint(self) -> str:
        return self._source.fingerprint()

    @property
    def _in_one_page(self) -> bool:
        """Whether the planes follow one another behind the only page (large ImageJ files)."""
        return len(self._series) == 1 and int(np.prod([size for _, size in self._sizes])) > 1

    def _check_size(self, plane: ResolvedPlane, maximum_pixels: int) -> None:
        check_projection(len(plane.z), *self._shape, self.where, maximum_pixels)

    def _places(self, plane: ResolvedPlane) -> Iterator[int]:
        """The numbers of the planes among all planes of the file."""
        sizes = [size for _, size in self._sizes]
        for z in plane.z:
            # Pages of unknown meaning are channels or planes along z; the other number is 0 then.
            at = {"C": plane.channel, "Z": z, "T": plane.t, "?": plane.channel + z}
            yield int(np.ravel_multi_index([at[axis] for axis, _ in self._sizes], sizes)) if sizes else 0

    def _page(self, place: int, maximum_pixels: int) -> tifffile.TiffPage:
        """A checked page, its own header read."""
        with blaming_the_file(DAMAGED_HEADER, self.where):
            found = self._series[place]
            # A frame borrows its header from the first page; whether that fits must be seen.
            page = found.aspage() if isinstance(found, tifffile.TiffFrame) else found
        if page is None:
            raise ImageFileError(
                f"plane {place} is not in the file, though its metadata list it",
                where=self.where,
                remedy=_ONE_FILE,
            )
        rows, cols, dtype = check_page(page, self._source, maximum_pixels)
        if (rows, cols) != self._shape or dtype != self._dtype:
            raise ImageFileError(
                f"page {place} is {rows} x {cols} {dtype}; "
                f"the first is {self._shape[0]} x {self._shape[1]} {self._dtype}",
                where=self.where,
                remedy=_ONE_FILE,
            )
        return page

    def _span(self, place: int) -> tuple[int, int]:
        """Where the bytes of a plane begin, and how many they are."""
        count = self._shape[0] * self._shape[1] * np.dtype(self._dtype).itemsize
        start = self._series.dataoffset
        if start is None:
            raise ImageFileError(
                "the stack is in one page and compressed", where=self.where, remedy=_ONE_FILE
            )
        end = start + (place + 1) * count
        if end > self._source.size:
            raise ImageFileError(
                f"the TIFF file is cut off: it has {self._source.size} bytes, its pixels need {end}",
                where=self.where,
                remedy=REPLACE,
            )
        return end - count, count

    def _part_of_page(self, place: int) -> np.ndarray:
        start, count = self._span(place)
        with blaming_the_file(DAMAGED_PIXELS, self.where):
            self._source.stream.seek(start)
            stored = np.dtype(self._dtype).newbyteorder(self._tiff.byteorder)
            pixels = np.frombuffer(self._source.stream.read(count), stored).reshape(self._shape)
        return np.ascontiguousarray(pixels, self._dtype)


def ome_channel_names(tiff: tifffile.TiffFile, where: str, channels: int) -> tuple[str, ...]:
    """The channel names of OME metadata for so many channels; empty when there are none for so many.

    Raises
    ------
    ImageFileError : the metadata cannot be read.
    """
    with blaming_the_file(DAMAGED_HEADER, where):
        return names_in_order(_ome_channel_names(tiff, where), channels)


def _ome_channel_names(tiff: tifffile.TiffFile, where: str) -> list[str | None]:
    """The channel names of the OME metadata; none when there are none. Refuses absurd claims."""
    if not tiff.is_ome:
        return []
    root = ElementTree.fromstring(tiff.ome_metadata or "")
    images = [element for element in root.iter() if element.tag.endswith("Pixels")]
    for image in images:
        planes = [int(image.attrib[f"Size{axis}"]) for axis in "CZT"]
        claims = [
            int(text) for data in image if data.tag.endswith("TiffData") for text in data.attrib.values()
        ]
        if max(*planes, int(np.prod(planes, dtype=object)), *claims, 0) > MOST_PLANES:
            raise ImageFileError(
                f"the OME metadata claim {' x '.join(map(str, planes))} planes", where=where, remedy=REPLACE
            )
    if len(images) != 1:
        return []
    return [element.attrib.get("Name") for element in images[0] if element.tag.endswith("Channel")]


def _only_series(tiff: tifffile.TiffFile, where: str) -> tifffile.TiffPageSeries:
    """The one image of the file, without its smaller copies."""
    series = tiff.series
    if len(series) != 1:
        shapes = ", ".join("x".join(map(str, found.shape)) for found in series[:5])
        raise ImageFileError(
            f"expected a single image; the TIFF holds {len(series)} ({shapes})", where=where, remedy=_ONE_FILE
        )
    if tiff.is_ome and series[0].kind != "ome":
        raise ImageFileError(
            "the OME metadata of the file describe planes that lie in other files",
            where=where,
            remedy=_ONE_FILE,
        )
    return series[0]


def _leading_sizes(series: tifffile.TiffPageSeries, where: str) -> list[tuple[str, int]]:
    """Axis and size of everything but rows and columns, axes of one plane left out; "?" is unknown."""
    axes, shape = series.get_axes(False), series.get_shape(False)
    sizes = [(axis, size) for axis, size in zip(axes, shape, strict=True) if size > 1 or axis in "YX"]
    leading = [("?" if axis in "IQ" else axis, size) for axis, size in sizes[:-2]]
    known = [axis for axis, _ in leading]
    makes_sense = [axis for axis, _ in sizes[-2:]] == ["Y", "X"] and set(known) <= set("CZT?")
    if not makes_sense or len(set(known)) != len(known) or ("?" in known and len(known) > 1):
        raise ImageFileError(
            f"expected axes out of T, C, Z, Y, X; the TIFF has {axes} ({' x '.join(map(str, shape))})",
            where=where,
            remedy=CONVERT,
        )
    return leading


def _layout(sizes: list[tuple[str, int]], names: list[str | None]) -> StackLayout:
    count = dict(sizes)
    channels = count.get("C", 1)
    return StackLayout(
        channels, count.get("Z", 1), count.get("T", 1), names_in_order(names, channels), count.get("?", 1)
    )
