"""The bytes of an image file: opened, and told apart by how they begin; what messages have in common."""

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from upath import UPath

from dp_assets.config.errors import ContentChangedError, ImageFileError, StoreAccessError, StoreError
from dp_assets.storage.allowed_paths import is_special
from dp_assets.storage.fingerprints import fingerprint_bytes, fingerprint_stream
from dp_assets.storage.remote import open_stored

DEFAULT_MAXIMUM_PIXELS = 2**28
"""Largest image read unless the project says otherwise (16,384 x 16,384 pixels): without a limit, a few
bytes could claim all memory."""

IN_MEMORY = 2**26
"""Files up to this many bytes are read at once; of larger ones (stacks) only the parts that are asked for."""

CONVERT = "export one grey image per channel, 8 or 16 bits unsigned, as TIFF or PNG"
REPLACE = "copy the file again from the microscope or the archive"

_START = 64
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHER_FORMATS = {
    b"\xff\xd8\xff": "a JPEG image",
    b"BM": "a BMP image",
    b"GIF8": "a GIF image",
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip file",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer, not the image itself",
}


@dataclass(frozen=True)
class ImageBytes:
    """An opened image file.

    Attributes
    ----------
    where : the file, as messages name it.
    name : the file's own name.
    stream : its bytes; in memory when there are few.
    start : the first of them.
    size : how many there are.
    """

    where: str
    name: str
    stream: IO[bytes]
    start: bytes
    size: int

    @property
    def is_in_memory(self) -> bool:
        """Whether all bytes are."""
        return isinstance(self.stream, io.BytesIO)

    def fingerprint(self) -> str:
        """Digest of all bytes (BLAKE3, 32 hexadecimal digits)."""
        if isinstance(self.stream, io.BytesIO):
            return fingerprint_bytes(self.stream.getbuffer())
        self.stream.seek(0)
        return fingerprint_stream(self.stream)

    def all(self) -> bytes:
        """All bytes, in memory."""
        if isinstance(self.stream, io.BytesIO):
            return self.stream.getvalue()
        self.stream.seek(0)
        return self.stream.read()

    @property
    def format(self) -> Literal["png", "tiff"] | None:
        """What the file is, by its first bytes; None for anything else."""
        if self.start.startswith(_PNG_SIGNATURE):
            return "png"
        return "tiff" if self.start.startswith(_TIFF_SIGNATURES) else None


@contextmanager
def open_image(path: UPath | Path, content: str = "", asset: str = "plate_images") -> Iterator[ImageBytes]:
    """Open an image file, local or on an object store.

    Parameters
    ----------
    content : the fingerprint that the file's bytes must have; "" for any.
    asset : which saw that content.

    Raises
    ------
    ImageFileError : the file is missing or cannot be read, or is empty and any content will do.
    ContentChangedError : its content is another.
    StoreAccessError : the object store refuses, or does not answer: that says nothing about the image.
    """
    if is_special(path):
        raise ImageFileError(
            "it is a pipe, a device or a socket, not a file",
            where=str(path),
            remedy="give the path of an image file in the index",
        )
    with ExitStack() as opened:
        try:
            stream = opened.enter_context(open_stored(path))
            size = _size(stream)
            data = stream.read() if size <= IN_MEMORY else stream.read(_START)
        except FileNotFoundError as error:
            raise ImageFileError(
                "the image file does not exist",
                where=str(path),
                remedy="check the path in the index, upper and lower case included, or put the file there",
            ) from error
        except OSError as error:
            raise ImageFileError(
                f"the image file cannot be read ({error.strerror or error})",
                where=str(path),
                remedy="check that the path names a file and that you may read it",
            ) from error
        if not data:
            if content:
                raise content_changed(str(path), asset)
            raise ImageFileError("the image file is empty", where=str(path), remedy=REPLACE)
        in_memory = size <= IN_MEMORY
        source = ImageBytes(
            where=str(path),
            name=path.name,
            stream=io.BytesIO(data) if in_memory else stream,
            start=data[:_START],
            size=len(data) if in_memory else size,
        )
        if content:
            if source.fingerprint() != content:
                raise content_changed(source.where, asset)
            source.stream.seek(0)
        yield source


def _size(stream: IO[bytes]) -> int:
    """How many bytes there are; 0 where that cannot be known before reading them."""
    if not stream.seekable():
        return 0
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return size


def refuse_other_formats(source: ImageBytes) -> None:
    """Raise ImageFileError, with what the file is, when it is neither TIFF nor PNG."""
    if source.format is not None:
        return
    start = source.start
    found = next(
        (name for mark, name in _OTHER_FORMATS.items() if start.startswith(mark)),
        f"not an image (it starts with {start[:8]!r})",
    )
    raise ImageFileError(
        f"expected a TIFF or PNG image; the file is {found}", where=source.where, remedy=CONVERT
    )


def check_size(height: int, width: int, where: str, maximum_pixels: int) -> None:
    """Refuse an image without pixels, or with more than `maximum_pixels`."""
    if height < 1 or width < 1:
        raise ImageFileError(f"the image has no pixels ({height} x {width})", where=where, remedy=REPLACE)
    if height * width > maximum_pixels:
        raise ImageFileError(
            f"the image is {height} x {width}, more than the {maximum_pixels} pixels allowed",
            where=where,
            remedy="raise maximum_image_pixels in project.yaml if the image is truly that large",
        )


def content_changed(where: str, asset: str = "plate_images") -> ContentChangedError:
    """A file is not what it was when an asset inspected it: not the fault of a site, nor of its image."""
    return ContentChangedError(
        f"the file has changed since {asset} was made (or an earlier version of this program made it)",
        where=where,
        remedy=f"materialize {asset} of this plate again, then go on; nothing that is finished is lost",
    )


@contextmanager
def blaming_the_file(what: str, where: str) -> Iterator[None]:
    """Whatever a parser or decoder stumbles over inside, the file is what is wrong; the cause is kept.

    They raise exceptions of many, undocumented types for damaged data.
    """
    try:
        yield
    except (ImageFileError, StoreError, StoreAccessError, MemoryError):
        raise
    except Exception as error:
        raise ImageFileError(f"{what} ({error})", where=where, remedy=REPLACE) from error
