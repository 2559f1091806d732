"""Files that are written for other programs: nothing half written, nothing overwritten unasked."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dp_assets.config.errors import ProjectError
from dp_assets.storage.held_names import temporary_sibling


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
    """A hidden name beside `path` for a library that wants a name to write to.

    What is written there is at `path` when the block ends, and nowhere if the block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(str(temporary_sibling(path)))
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
