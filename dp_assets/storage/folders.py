"""Folders published as a whole: the manifest comes last, and a folder without one does not exist for readers.

Locally a folder is filled beside its final place and renamed. On object stores, which cannot rename, files go
under a versioned prefix and the manifest object, written last, points to it.
"""

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upath import UPath

from dp_assets.config.errors import StoreError
from dp_assets.storage.atomic import is_local, temporary_sibling, write_bytes

MANIFEST = "MANIFEST.json"
VERSIONS = "versions"


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


def open_folder(path: Path | UPath) -> Folder:
    """Open a published folder.

    After a crash between the two renames of a publication that is the former folder, under its hidden name.

    Raises
    ------
    FileNotFoundError : nothing was ever published there.
    StoreError : the manifest is damaged.
    """
    place = path
    if not (path / MANIFEST).exists():
        if not is_local(path) or path.exists() or not (_previous(path) / MANIFEST).exists():
            raise FileNotFoundError(f"{path} was never published (no {MANIFEST})")
        place = _previous(path)
    manifest = _read_manifest(place / MANIFEST)
    return Folder(place / manifest["root"] if manifest.get("root") else place, manifest)


def _read_manifest(path: Path | UPath) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or "fingerprint" not in manifest:
            raise ValueError("it names no fingerprint")
    except ValueError as error:
        raise StoreError(
            f"the manifest cannot be read: {error}",
            where=str(path),
            remedy="delete the folder and materialize its asset again",
        ) from error
    return manifest


def publish_folder(path: Path | UPath, writer: FolderWriter) -> Folder:
    """Fill and publish a folder; a folder already there is replaced only when the new one is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_local(path):
        _publish_locally(path, writer)
    else:
        _publish_under_version(UPath(path), writer)
    return open_folder(path)


def _publish_locally(path: Path, writer: FolderWriter) -> None:
    _finish_interrupted_swap(path)
    filling = Path(str(temporary_sibling(path)))
    filling.mkdir()
    try:
        writer.fill(filling)
        _write_manifest(filling, writer, root=None)
        if path.exists():
            os.replace(path, _previous(path))
        os.replace(filling, path)
    except BaseException:
        shutil.rmtree(filling, ignore_errors=True)
        _finish_interrupted_swap(path)
        raise
    shutil.rmtree(_previous(path), ignore_errors=True)


def _publish_under_version(path: UPath, writer: FolderWriter) -> None:
    root = f"{VERSIONS}/{uuid.uuid4().hex}"
    former = _former_root(path)
    try:
        with tempfile.TemporaryDirectory() as name:
            local = Path(name)
            writer.fill(local)
            for file in sorted(local.rglob("*")):
                if file.is_file():
                    target = path / root / file.relative_to(local).as_posix()
                    # Nobody looks under this prefix before the manifest points there.
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.fs.put_file(str(file), target.path)
        _write_manifest(path, writer, root=root)
    except BaseException:
        _remove_version(path, root)
        raise
    if former:
        _remove_version(path, former)


def _former_root(path: UPath) -> str | None:
    """Where the manifest that is there points; None when there is none, or none that can be read."""
    try:
        return _read_manifest(path / MANIFEST).get("root")
    except (FileNotFoundError, StoreError):
        return None


def _remove_version(path: UPath, root: str) -> None:
    version = path / root
    if version.exists():
        version.fs.rm(version.path, recursive=True)


def _write_manifest(path: Path | UPath, writer: FolderWriter, root: str | None) -> None:
    manifest = {**writer.facts, "fingerprint": writer.fingerprint, **({"root": root} if root else {})}
    text = json.dumps(manifest, indent=1, sort_keys=True)
    write_bytes(path / MANIFEST, text.encode())


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
