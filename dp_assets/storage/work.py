"""Work folders: finished sites are kept there until the plate is published, so that a killed run resumes.

A finished site is one file named by the site's fingerprint (images, locations, settings, code version). The
file appears by rename, so its existence is the journal: there is no separate list that could disagree with
it.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dp_assets.config.errors import StoreError
from dp_assets.storage.atomic import write_bytes

LOCK_TIMEOUT_SECONDS = 2.0


class WorkFolder:
    """The deterministic work folder of one asset and plate.

    Parameters
    ----------
    path : local folder; made on first use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def locked(self) -> Iterator["WorkFolder"]:
        """Hold the folder for this process. Raises StoreError when another run works on the same plate."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path.parent / f".{self.path.name}.lock")
        try:
            lock.acquire(timeout=LOCK_TIMEOUT_SECONDS)
        except Timeout as error:
            raise StoreError(
                "another run is working on this asset and plate",
                where=str(self.path),
                remedy="wait for it to end (its finished sites are kept), then start this one again",
            ) from error
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            yield self
        finally:
            lock.release()

    def part(self, fingerprint: str, ending: str) -> Path:
        """Where the finished part with this fingerprint lies or will lie."""
        return self.path / "parts" / f"{fingerprint}{ending}"

    def write_part(self, fingerprint: str, ending: str, data: bytes) -> Path:
        """Store a finished part; it is there completely or not at all."""
        path = self.part(fingerprint, ending)
        write_bytes(path, data)
        return path

    def clear(self) -> None:
        """Remove everything in the folder (after publication). The lock file beside it stays."""
        if self.path.exists():
            shutil.rmtree(self.path)
