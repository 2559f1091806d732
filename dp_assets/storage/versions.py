"""Versions of a folder on an object store: uploaded under a name of their own, removed when long superseded.

A reader that opened a version goes on reading it after the next one is published. So the former version
stays, and so does what an interrupted upload left, until the asset is materialized at least a day later.
"""

import datetime
import re
import time
import uuid
from pathlib import Path
from typing import Any

from upath import UPath

from dp_assets.config.errors import StoreAccessError
from dp_assets.storage.access_errors import access_errors
from dp_assets.storage.atomic import WHOLE_OBJECTS

VERSIONS = "versions"
KEPT_SECONDS = 24 * 3600
FILES_AT_ONCE = 16
_OF_A_VERSION = re.compile(rf"/{VERSIONS}/[0-9a-f]{{32}}/")


def is_of_a_version(path: UPath) -> bool:
    """Whether `path` is a file of a version: written once, never replaced."""
    return _OF_A_VERSION.search(path.path) is not None


def new_version() -> str:
    """The place of a new version, relative to its folder."""
    return f"{VERSIONS}/{uuid.uuid4().hex}"


def upload(local: Path, version: UPath) -> None:
    """Copy every file of a local folder below `version`, several at a time.

    Raises
    ------
    StoreAccessError : the store refuses, or does not answer. What was uploaded stays, for `remove_version`.
    """
    files = sorted(file for file in local.rglob("*") if file.is_file())
    targets = [version / file.relative_to(local).as_posix() for file in files]
    if not files:
        return
    if version.protocol not in WHOLE_OBJECTS:
        for parent in {target.parent for target in targets}:
            parent.mkdir(parents=True, exist_ok=True)
    at_once = {"batch_size": FILES_AT_ONCE} if version.fs.async_impl else {}
    with access_errors(str(version)):
        version.fs.put([str(file) for file in files], [target.path for target in targets], **at_once)


def stored_files(folder: UPath) -> dict[str, dict[str, Any]]:
    """Every object below a folder: relative path -> what the store says of it. One request per 1,000."""
    with access_errors(str(folder)):
        found = folder.fs.find(folder.path, detail=True)
    start = folder.path.rstrip("/") + "/"
    return {name.removeprefix(start): facts for name, facts in found.items()}


def remove_version(version: UPath) -> None:
    """Remove a version and all its files, if there are any."""
    with access_errors(str(version)):
        if version.exists():
            version.fs.rm(version.path, recursive=True)


def remove_superseded(folder: UPath, current: str, previous: str | None, since: float) -> None:
    """Remove the versions that nobody reads any more, and what interrupted uploads left.

    Parameters
    ----------
    folder : the published folder.
    current : the version that its manifest names, `versions/<id>`.
    previous : the one that the manifest named before; None when there was none.
    since : when the manifest was written, in seconds since 1970.

    Raises
    ------
    StoreAccessError : the store refuses, or does not answer.
    """
    newest: dict[str, float] = {}
    for name, facts in stored_files(folder / VERSIONS).items():
        version = f"{VERSIONS}/{name.partition('/')[0]}"
        newest[version] = max(newest.get(version, 0.0), written_at(facts))
    if previous in newest:
        newest[previous] = max(newest[previous], since)
    for version, last_used in newest.items():
        if version != current and time.time() - last_used > KEPT_SECONDS:
            remove_version(folder / version)
    abandon_uploads(folder)


def written_at(facts: dict[str, Any]) -> float:
    """When an object was written, in seconds since 1970; now, where the store does not say."""
    for name in ("LastModified", "mtime", "last_modified", "modified", "created"):
        value = facts.get(name)
        if isinstance(value, datetime.datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
    return time.time()


def abandon_uploads(path: UPath) -> None:
    """Give up large uploads at or below `path` that a killed process began more than a day ago.

    They are not visible, but are paid for. Only on S3; a lifecycle rule of the bucket does the same.
    """
    if path.protocol not in ("s3", "s3a"):
        return
    bucket, _, key = path.path.partition("/")
    try:
        answer = path.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
        for begun in answer.get("Uploads", []):
            if time.time() - begun["Initiated"].timestamp() > KEPT_SECONDS:
                path.fs.abort_mpu(bucket, begun["Key"], begun["UploadId"])
    except (StoreAccessError, FileNotFoundError, NotImplementedError):
        # Tidying up: who may not list uploads, or whose store does not know them, can still publish.
        return
