"""What a machine refuses (full disk, read-only, no permission) as an error that says what to do about it."""

import errno
import os
import re
from collections.abc import Iterator

from dp_assets.config.errors import ProjectError

_KEPT = "then start the run again: what was finished is kept"
_IN_THE_WAY = "something else is in the way: look at the path, move it aside, " + _KEPT
_BRIEFLY = "start the run again; if it happens again look at the disk and the connection to it"
_REMEDIES = {
    errno.ENOSPC: f"free space on the disk of this path, {_KEPT}",
    errno.EDQUOT: f"free space or ask for a larger quota, {_KEPT}",
    errno.EROFS: f"make the disk of this path writable (it may have been mounted so after an error), {_KEPT}",
    errno.EACCES: f"give the user who runs this permission on the path, {_KEPT}",
    errno.EPERM: f"give the user who runs this permission on the path, {_KEPT}",
    errno.EFBIG: f"the file system or a limit (ulimit -f) allows no larger file; use another one, {_KEPT}",
    errno.ENAMETOOLONG: "shorten the names of the folders and files on this path",
    errno.ELOOP: "the symbolic links of this path go in a circle; correct them",
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOTEMPTY: _IN_THE_WAY,
    errno.EMFILE: f"allow more open files (ulimit -n), or set fewer cores in project.yaml, {_KEPT}",
    errno.ENFILE: f"allow more open files on this machine, {_KEPT}",
    errno.EIO: _BRIEFLY,
    errno.ESTALE: _BRIEFLY,
    errno.ETIMEDOUT: _BRIEFLY,
    errno.ENOTCONN: _BRIEFLY,
}
SEVERE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO})
"""What is believed even where a library raised something else because of it."""

PASSING = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EMFILE, errno.ENFILE})
_ERRNO_IN_TEXT = re.compile(r"\berrno = (\d+)")


class MachineError(ProjectError):
    """The machine refused something: no space, no permission, a disk that fails."""


def machine_error(error: BaseException) -> MachineError | None:
    """What the machine refused, when that is behind an error; None when it is something else.

    Looks at the error and at what it was raised from: libraries wrap what the system told them.
    """
    for found in _chain(error):
        code, path = _refusal(found)
        if code in SEVERE or (found is error and code in _REMEDIES):
            refused = MachineError(os.strerror(code).lower(), where=path, remedy=_REMEDIES[code])
            refused.transient = code in PASSING
            return refused
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _refusal(error: BaseException) -> tuple[int, str]:
    """The error number (0 for none), and the path it is about."""
    if isinstance(error, OSError):
        path = error.filename2 or error.filename
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else "a file of the project"
        return error.errno or _number_in(error), text
    # HDF5 says it in its message only.
    return _number_in(error), "a file of the project"


def _number_in(error: BaseException) -> int:
    found = _ERRNO_IN_TEXT.search(str(error))
    return int(found[1]) if found else 0
