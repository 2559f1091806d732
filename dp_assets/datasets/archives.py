"""Unpacking archives from the internet: checked first, and never outside the folder they are for."""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dp_assets.config.errors import ProjectError
from dp_assets.storage.atomic import write_bytes

MOST_BYTES = 2**31
"""Largest file unpacked: files are in memory one by one, and a few bytes could claim all of it."""

_BLOCK = 2**20

# What the readers of archives raise for damage, encryption (RuntimeError) and methods that they do not know.
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)


def zip_members(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files of a zip archive, name and content, one after the other; each is checked when it is read.

    Raises
    ------
    ProjectError : the archive is damaged, a name leads out of it, or a file in it is larger than 2 GiB.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.is_dir():
                    continue
                name = PurePosixPath(member.filename.replace("\\", "/"))
                if name.is_absolute() or ".." in name.parts:
                    raise _damaged(path, f"the name {member.filename!r} leads out of the archive")
                _check_size(path, member.filename, member.file_size)
                yield name, archive.read(member)
    except _DAMAGED as error:
        raise _damaged(path, str(error)) from error


def unpack_tar(path: Path, folder: Path) -> list[Path]:
    """Unpack a tar archive (compressed or not); files that are there with the same content are kept.

    Returns
    -------
    The files of the archive, in its order.

    Raises
    ------
    ProjectError : the archive is damaged, holds names that lead out of it, or a file larger than 2 GiB.
        Links and devices are passed over.
    """
    written = []
    for name, data in _tar_members(path, folder):
        write_if_changed(folder / name, data)
        written.append(folder / name)
    return written


def _tar_members(path: Path, folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a tar archive, name below `folder` and content, one after the other."""
    # What fails while a file is written is not the archive's fault, and not caught here.
    try:
        _check_stream(path)
        with tarfile.open(path) as archive:
            for member in archive:
                if not member.isfile():
                    continue
                _check_size(path, member.name, member.size)
                safe = tarfile.data_filter(member, str(folder))
                stream = archive.extractfile(member)
                if safe is not None and stream is not None:
                    yield safe.name, stream.read()
    except _DAMAGED as error:
        raise _damaged(path, str(error)) from error


def write_if_changed(path: Path, data: bytes) -> None:
    """Write a file, complete or not at all; one that holds the same is kept as it is."""
    if not path.is_file() or path.stat().st_size != len(data) or path.read_bytes() != data:
        write_bytes(path, data)


def _check_stream(path: Path) -> None:
    """Decompress a tar archive to its end, where its checksum is: `tarfile` stops before it."""
    with tarfile.open(path) as archive:
        stream = archive.fileobj
        while stream is not None and stream.read(_BLOCK):
            pass


def _check_size(path: Path, name: str, size: int) -> None:
    if size > MOST_BYTES:
        raise _damaged(path, f"its file {name!r} claims {size:,} bytes, more than {MOST_BYTES:,}")


def _damaged(path: Path, why: str) -> ProjectError:
    return ProjectError(
        f"the archive cannot be unpacked: {why}",
        where=str(path),
        remedy="delete it and download it again",
    )
