"""Unpacking archives from the internet: checked first, and never outside the folder they are for."""

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dp_assets.config.errors import ProjectError
from dp_assets.storage.atomic import write_bytes


def zip_members(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files of a zip archive, name and content, one after the other; each is checked when it is read.

    Raises
    ------
    ProjectError : the archive is damaged, or a name leads out of it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.is_dir():
                    continue
                name = PurePosixPath(member.filename.replace("\\", "/"))
                if name.is_absolute() or ".." in name.parts:
                    raise _damaged(path, f"the name {member.filename!r} leads out of the archive")
                yield name, archive.read(member)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise _damaged(path, str(error)) from error


def unpack_tar(path: Path, folder: Path) -> list[Path]:
    """Unpack a tar archive (compressed or not); files that are there with the same size are kept.

    Returns
    -------
    The files of the archive, in its order.

    Raises
    ------
    ProjectError : the archive is damaged, or holds names or links that lead out of it.
    """
    written = []
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if not member.isfile():
                    continue
                safe = tarfile.data_filter(member, str(folder))
                stream = archive.extractfile(member)
                if safe is None or stream is None:
                    continue
                target = folder / safe.name
                if not target.is_file() or target.stat().st_size != member.size:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    write_bytes(target, stream.read())
                written.append(target)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _damaged(path, str(error)) from error
    return written


def _damaged(path: Path, why: str) -> ProjectError:
    return ProjectError(
        f"the archive cannot be unpacked: {why}",
        where=str(path),
        remedy="delete it and download it again",
    )
