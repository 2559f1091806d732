"""What an earlier export of a plate wrote, so that the next one keeps it or takes away what is left of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from upath import UPath

from dp_assets.storage.atomic import write_bytes
from dp_assets.storage.index_file import why_outside

RECORDS = ".exported"


@dataclass(frozen=True)
class ExportRecord:
    """The record of one plate in an export folder: `.exported/<plate>.<kind>.txt`.

    Its first line is the fingerprint of what was exported, the others are the files, relative to the folder.

    Attributes
    ----------
    folder : where files of other programs are written to.
    plate : the plate.
    kind : what is exported; exports of other kinds to the same folder keep their files.
    """

    folder: Path | UPath
    plate: str
    kind: Literal["features", "crops"]

    def is_current(self, fingerprint: str) -> bool:
        """Whether the last export was finished, of the same things, and all its files are still there."""
        known, files = self._read()
        return known == fingerprint and all((self.folder / name).exists() for name in files)

    def files(self) -> list[str]:
        """The files of the last export."""
        return self._read()[1]

    def begin(self) -> None:
        """Forget that an export was finished, but not which files there are."""
        if files := self.files():
            self._write("", files)

    def finish(self, fingerprint: str, files: Iterable[str]) -> int:
        """Record a finished export; files of the one before that are not in it are removed, and counted."""
        written = list(dict.fromkeys(files))
        # A record may come with a folder from elsewhere: nothing outside the folder is ever removed.
        stale = {name for name in set(self.files()) - set(written) if why_outside(name, ()) is None}
        for name in stale:
            (self.folder / name).unlink(missing_ok=True)
        self._write(fingerprint, written)
        return len(stale)

    def _read(self) -> tuple[str, list[str]]:
        try:
            first, *files = self._path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return "", []
        return first, files

    def _write(self, fingerprint: str, files: list[str]) -> None:
        write_bytes(self._path, "\n".join([fingerprint, *files]).encode())

    @property
    def _path(self) -> Path | UPath:
        return self.folder / RECORDS / f"{self.plate}.{self.kind}.txt"
