"""Folders published as a whole: the manifest is written last, and a folder without one does not exist for readers.

Locally a folder is filled beside its final place and renamed. On object stores, which cannot rename, files go under a
versioned prefix and the manifest object, written last, points to it.
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
    """Open a published folder. Raises FileNotFoundError when there is none and StoreError when it is damaged."""
    _restore_interrupted_swap(path)
    manifest_path = path / MANIFEST
    if not manifest_path.exists():
        raise FileNotFoundError(f"{path} was never published (no {MANIFEST})")
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"the manifest cannot be read: {error}",
            where=str(manifest_path),
            remedy="delete the folder and materialize its asset again",
        ) from error
    return Folder(path / manifest["root"] if manifest.get("root") else path, manifest)


def publish_folder(path: Path | UPath, writer: FolderWriter) -> Folder:
    """Fill and publish a folder; a folder already there is replaced only when the new one is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_local(path):
        _publish_locally(Path(path), writer)
    else:
        _publish_under_version(UPath(path), writer)
    return open_folder(path)


def _publish_locally(path: Path, writer: FolderWriter) -> None:
    _restore_interrupted_swap(path)
    filling = Path(temporary_sibling(path))
    filling.mkdir()
    try:
        writer.fill(filling)
        _write_manifest(filling, writer, root=None)
        if path.exists():
            os.replace(path, _previous(path))
        os.replace(filling, path)
    except BaseException:
        shutil.rmtree(filling, ignore_errors=True)
        _restore_interrupted_swap(path)
        raise
    shutil.rmtree(_previous(path), ignore_errors=True)


def _publish_under_version(path: UPath, writer: FolderWriter) -> None:
    root = f"{VERSIONS}/{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory() as name:
        local = Path(name)
        writer.fill(local)
        for file in sorted(local.rglob("*")):
            if file.is_file():
                write_bytes(path / root / file.relative_to(local).as_posix(), file.read_bytes())
    old = json.loads((path / MANIFEST).read_text(encoding="utf-8")) if (path / MANIFEST).exists() else {}
    _write_manifest(path, writer, root=root)
    if old.get("root"):
        path.fs.rm((path / old["root"]).path, recursive=True)


def _write_manifest(path: Path | UPath, writer: FolderWriter, root: str | None) -> None:
    manifest = {**writer.facts, "fingerprint": writer.fingerprint, **({"root": root} if root else {})}
    text = json.dumps(manifest, indent=1, sort_keys=True)
    write_bytes(path / MANIFEST, text.encode())


def _previous(path: Path) -> Path:
    return path.parent / f".{path.name}.previous"


def _restore_interrupted_swap(path: Path | UPath) -> None:
    """After a crash between the two renames the former folder lies under its hidden name: put it back."""
    if is_local(path):
        previous = _previous(Path(path))
        if previous.exists() and not path.exists():
            os.replace(previous, path)
