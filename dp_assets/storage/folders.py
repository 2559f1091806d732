"""Folders published as a whole: the manifest comes last, and a folder without one does not exist for readers.

Locally a folder is filled beside its final place and renamed. On object stores, which cannot rename, files go
under a versioned prefix and the manifest object, written last, points to it. Of two writers at once the last
manifest counts, and with it the files of its writer alone.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upath import UPath

from dp_assets.config.errors import StoreAccessError, StoreError
from dp_assets.storage.access_errors import access_errors
from dp_assets.storage.atomic import is_local, write_bytes
from dp_assets.storage.fingerprints import fingerprint_bytes
from dp_assets.storage.held_names import held_sibling, remove_abandoned
from dp_assets.storage.remote import local_side, read_stored
from dp_assets.storage.versions import (
    new_version,
    remove_superseded,
    remove_version,
    stored_files,
    upload,
    written_at,
)

MANIFEST = "MANIFEST.json"
ROOT, PREVIOUS, SEAL = "root", "previous", "seal"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderWriter:
    """A folder to be published.

    Attributes
    ----------
    fingerprint : what the content was made from.
    facts : what the manifest says (JSON-able).
    fill : called with an empty local folder; writes the files into it (linking finished work is fine).
    finished : called after publication (clears the work folder).
    """

    fingerprint: str
    facts: Mapping[str, Any]
    fill: Callable[[Path], None]
    finished: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Folder:
    """A published folder, opened for reading.

    Attributes
    ----------
    path : where its files lie.
    manifest : the facts written at publication; `fingerprint` says what the content was made from.
    """

    path: Path | UPath
    manifest: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """What the content was made from."""
        return self.manifest["fingerprint"]

    def size(self) -> int:
        """The bytes of all files."""
        if is_local(self.path):
            return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())
        return sum(facts["size"] for facts in stored_files(UPath(self.path)).values())


def open_folder(path: Path | UPath) -> Folder:
    """Open a published folder.

    After a crash between the two renames of a publication that is the former folder, under its hidden name.

    Raises
    ------
    FileNotFoundError : nothing was ever published there.
    StoreError : the manifest is damaged.
    StoreAccessError : the object store refuses, or does not answer.
    """
    place = path
    try:
        manifest = _read_manifest(path / MANIFEST)
    except FileNotFoundError:
        place = _previous(path) if is_local(path) else path
        if not is_local(path) or path.exists() or not (place / MANIFEST).exists():
            raise FileNotFoundError(f"{path} was never published (no {MANIFEST})") from None
        manifest = _read_manifest(place / MANIFEST)
    return Folder(place / manifest[ROOT] if manifest.get(ROOT) else place, manifest)


def _read_manifest(path: Path | UPath) -> dict[str, Any]:
    try:
        manifest = json.loads(read_stored(path).decode("utf-8"))
        if not isinstance(manifest, dict) or "fingerprint" not in manifest:
            raise ValueError("it names no fingerprint")
        # Those of earlier versions have none.
        seal = manifest.pop(SEAL, None)
        if seal is not None and seal != _seal(manifest):
            raise ValueError("it is not what was written")
    except ValueError as error:
        raise StoreError(
            f"the manifest cannot be read: {error}",
            where=str(path),
            remedy="delete the folder and materialize its asset again",
        ) from error
    return manifest


def publish_folder(path: Path | UPath, writer: FolderWriter) -> Folder:
    """Fill and publish a folder; a folder already there is replaced only when the new one is complete.

    Raises
    ------
    StoreAccessError : the object store refuses, or does not answer; the former folder is still published.
    """
    if is_local(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _publish_locally(path, writer)
    else:
        _publish_under_version(UPath(path), writer)
    return open_folder(path)


def _publish_locally(path: Path, writer: FolderWriter) -> None:
    _finish_interrupted_swap(path)
    remove_abandoned(path)
    with held_sibling(path, Path.mkdir) as filling:
        try:
            writer.fill(filling)
            _write_manifest(filling, writer)
            if path.exists():
                os.replace(path, _previous(path))
            os.replace(filling, path)
        except BaseException:
            shutil.rmtree(filling, ignore_errors=True)
            _finish_interrupted_swap(path)
            raise
    shutil.rmtree(_previous(path), ignore_errors=True)


def _publish_under_version(path: UPath, writer: FolderWriter) -> None:
    root = new_version()
    with _folder_to_upload(path) as local:
        writer.fill(local)
        try:
            # Nobody looks under this prefix before the manifest points there.
            upload(local, path / root)
            former = _former_root(path)
            _write_manifest(path, writer, {ROOT: root, **({PREVIOUS: former} if former else {})})
        except BaseException:
            # When the store does not answer this fails, too; the next publication but one does it then.
            with suppress(StoreAccessError, OSError):
                _remove_unpublished(path, root)
            raise
    tidy_folder(path)


@contextmanager
def _folder_to_upload(path: UPath) -> Iterator[Path]:
    """An empty folder of this machine; what killed processes left of the same place is removed."""
    side = local_side(path)
    if side is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
        return
    side.uploads.mkdir(parents=True, exist_ok=True)
    place = side.uploads / fingerprint_bytes(str(path).encode())
    remove_abandoned(place)
    with held_sibling(place, Path.mkdir) as folder:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_unpublished(path: UPath, root: str) -> None:
    """Remove what was uploaded, unless the manifest did arrive although the store did not say so."""
    if _former_root(path) != root:
        remove_version(path / root)


def tidy_folder(path: Path | UPath) -> None:
    """Remove what former publications of a folder left on an object store, when it is old enough.

    Nothing happens locally, nor when the store refuses: what is published is not concerned.
    """
    if is_local(path):
        return
    try:
        manifest = _read_manifest(path / MANIFEST)
        folder = UPath(path)
        with access_errors(str(path)):
            since = written_at(folder.fs.info((folder / MANIFEST).path))
        remove_superseded(folder, manifest[ROOT], manifest.get(PREVIOUS), since)
    except (StoreAccessError, FileNotFoundError) as error:
        logger.warning("old versions of %s are not removed: %s", path, error)


def _former_root(path: UPath) -> str | None:
    """Where the manifest that is there points; None when there is none, or none that can be read."""
    try:
        return _read_manifest(path / MANIFEST).get(ROOT)
    except (FileNotFoundError, StoreError):
        return None


def _write_manifest(
    path: Path | UPath, writer: FolderWriter, versions: Mapping[str, str] | None = None
) -> None:
    manifest = {**writer.facts, "fingerprint": writer.fingerprint, **(versions or {})}
    text = json.dumps({**manifest, SEAL: _seal(manifest)}, indent=1, sort_keys=True)
    write_bytes(path / MANIFEST, text.encode())


def _seal(manifest: dict[str, Any]) -> str:
    """A digest of a manifest, the same before it is written and after it is read."""
    as_read = json.loads(json.dumps(manifest))
    return fingerprint_bytes(json.dumps(as_read, sort_keys=True).encode())


def _previous(path: Path) -> Path:
    return path.parent / f".{path.name}.previous"


def _finish_interrupted_swap(path: Path) -> None:
    """After a crash around the two renames: put the former folder back, or away if the new one is there."""
    previous = _previous(path)
    if previous.exists():
        if path.exists():
            shutil.rmtree(previous)
        else:
            os.replace(previous, path)
