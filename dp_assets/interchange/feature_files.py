"""The files that an experiment on another program's features is made from."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dp_assets.interchange.table_batches import TableFileError
from dp_assets.interchange.table_files import is_table_name
from dp_assets.storage.fingerprints import fingerprint, fingerprint_stream

_NPZ = ".npz"
_SHOWN = 10


@dataclass(frozen=True)
class FeatureFiles:
    """What lies behind the patterns of `features.files`.

    Attributes
    ----------
    tables : table files, sorted within each pattern.
    npz : DeepProfiler's feature files.
    npz_folder : the folder that their names are relative to; None without such files.
    """

    tables: tuple[Path, ...]
    npz: tuple[Path, ...]
    npz_folder: Path | None

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file."""
        return (*self.tables, *self.npz)

    def fingerprint(self) -> str:
        """A digest of the names and bytes of all files; reads them once."""
        return fingerprint([[path.name, _digest(path)] for path in self.all])


def find_feature_files(patterns: Sequence[str], folder: Path) -> FeatureFiles:
    """The files that the patterns mean.

    Parameters
    ----------
    patterns : files or folders, relative to `folder` or absolute; `*` and `**` stand for any names. Of a
        folder, all tables or npz files below it are meant.
    folder : `inputs/features`.

    Raises
    ------
    TableFileError : a pattern means nothing, or tables and npz files come together.
    """
    tables: dict[Path, None] = {}
    npz: dict[Path, None] = {}
    npz_folders: dict[Path, None] = {}
    for pattern in patterns:
        found = _files(pattern, folder)
        arrays = [path for path in found if path.suffix.lower() == _NPZ]
        if arrays:
            npz_folders[_fixed_part(pattern, folder)] = None
        npz.update(dict.fromkeys(arrays))
        tables.update(dict.fromkeys(path for path in found if path.suffix.lower() != _NPZ))
    where = f"features.files: {', '.join(patterns)}"
    if npz and tables:
        raise TableFileError(
            f"there are both tables ({next(iter(tables)).name}) and npz files ({next(iter(npz)).name})",
            where=where,
            remedy="name the ones or the others",
        )
    if len(npz_folders) > 1:
        raise TableFileError(
            f"npz files lie in several folders: {', '.join(map(str, npz_folders))}",
            where=where,
            remedy="name the one folder that holds the folders of all plates",
        )
    return FeatureFiles(tuple(tables), tuple(npz), next(iter(npz_folders), None))


def _files(pattern: str, folder: Path) -> list[Path]:
    """The tables and npz files that one pattern means."""
    # Without "..", which leads nowhere from a folder that is not there.
    exact = Path(os.path.normpath(folder / pattern))
    searched = pattern if os.path.isabs(pattern) else os.path.join(glob.escape(str(folder)), pattern)
    matched = [Path(name) for name in sorted(glob.glob(os.path.normpath(searched), recursive=True))]
    # A name may hold brackets.
    if not matched and exact.exists():
        matched = [exact]
    found: dict[Path, None] = {}
    for path in matched:
        if path.is_dir():
            below = sorted(path.rglob("*"))
            found.update(
                dict.fromkeys(inner for inner in below if inner.is_file() and _is_feature_file(inner))
            )
        elif path.is_file() and (path == exact or _is_feature_file(path)):
            found[path] = None
    if not found:
        raise _nothing(pattern, folder, matched)
    return list(found)


def _is_feature_file(path: Path) -> bool:
    return is_table_name(path) or (path.suffix.lower() == _NPZ and not path.name.startswith("."))


def _nothing(pattern: str, folder: Path, matched: Sequence[Path]) -> TableFileError:
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    shown = ", ".join(there[:_SHOWN]) + (", ..." if len(there) > _SHOWN else "") or "nothing"
    what = f"{matched[0]} holds no table and no npz file" if matched else f'no file is called "{pattern}"'
    return TableFileError(
        f"{what}; in {folder} there is {shown}",
        where=f"features.files: {pattern}",
        remedy="put CSV, TSV (also .gz), Parquet or npz files there, or correct the name; names are relative "
        "to inputs/features",
    )


def _fixed_part(pattern: str, folder: Path) -> Path:
    """The folder before the first `*` of a pattern; of a single file, its folder."""
    place = folder
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            return place
        place = place / part
    return place if place.is_dir() else place.parent


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return fingerprint_stream(stream)
