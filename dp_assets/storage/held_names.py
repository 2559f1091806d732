"""Hidden names of files and folders that are still being written, and what killed writers left under them.

A writer holds a lock (`flock`) on what it writes. The system takes the lock back when the process ends,
whatever ended it; so the next writer of the same target tells by it, not by a clock, that nobody will finish
the other, and removes it. On a file system without locks nothing is removed.
"""

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from upath import UPath

TEMPORARY_MARK = ".tmp"
_ATTEMPTS = 10
# No link is followed, and a pipe is not waited for.
_ITSELF = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def temporary_sibling(path: Path | UPath) -> Path | UPath:
    """A hidden name beside `path`, unique to this call, that no reader looks at."""
    return path.parent / f".{path.name}.{uuid.uuid4().hex}{TEMPORARY_MARK}"


@contextmanager
def held_sibling(path: Path, make: Callable[[Path], object]) -> Iterator[Path]:
    """Make a file or folder under a hidden name beside `path`, and hold its lock until the block ends.

    Parameters
    ----------
    make : called with the name; makes an empty file or folder.

    Raises
    ------
    OSError : as the block raises it, with `path` where it names no file.
    """
    for _ in range(_ATTEMPTS):
        temporary = Path(str(temporary_sibling(path)))
        make(temporary)
        try:
            handle = os.open(temporary, _ITSELF)
        except FileNotFoundError:
            continue
        try:
            # Between the making and the lock somebody may have taken it for a dead writer's.
            if _lock(handle) is not False and _is_at(handle, temporary):
                yield temporary
                return
        except OSError as error:
            # What a write refuses (a full disk) comes without a name.
            if error.errno and error.filename is None:
                error.filename = str(path)
            raise
        finally:
            os.close(handle)
    raise FileNotFoundError(f"{path.parent}: new files vanish at once")


def remove_abandoned(path: Path) -> None:
    """Remove what killed writers of `path` left beside it; what somebody still writes is left alone."""
    ours = re.compile(re.escape(f".{path.name}.") + "[0-9a-f]{32}" + re.escape(TEMPORARY_MARK))
    # Whoever cannot list or remove here cannot write here either, and says so.
    with suppress(OSError):
        for name in os.listdir(path.parent):
            if ours.fullmatch(name):
                _remove_unless_held(path.parent / name)


def _remove_unless_held(path: Path) -> None:
    handle = _opened(path)
    if handle is None:
        return
    try:
        if _lock(handle):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _opened(path: Path) -> int | None:
    """A handle on a file or folder itself; None when it is gone, or is something else."""
    try:
        return os.open(path, _ITSELF)
    except OSError:
        return None


def _lock(handle: int) -> bool | None:
    """Whether the lock is ours now; None where the file system has none."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
