"""Files that are written for other programs: nothing half written, nothing overwritten unasked."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dp_assets.config.errors import ProjectError
from dp_assets.storage.held_names import held_sibling, remove_abandoned


def require_free(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Raise ProjectError when one of the files is there, unless it may be overwritten."""
    there = [] if overwrite else [path for path in paths if path.exists()]
    if there:
        more = f" (and {len(there) - 1} more files)" if len(there) > 1 else ""
        raise ProjectError(
            f"the file is there already{more}",
            where=str(there[0]),
            remedy="name another place, or use --force",
        )


@contextmanager
def appearing_file(path: Path) -> Iterator[Path]:
    """A name in a hidden folder beside `path` for a library that wants a name to write to.

    What is written there is at `path` when the block ends, and nowhere if the block raises. What a killed
    process left is removed by the next one that writes the same file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path)
    # The folder is held, not the file: HDF5 has locks of its own on what it writes.
    with held_sibling(path, Path.mkdir) as folder:
        temporary = folder / path.name
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
