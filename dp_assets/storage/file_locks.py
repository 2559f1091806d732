"""Locks on files that the system itself takes back when a process ends, however it ends.

Nothing else will do here. Where a file system has no such locks, the library would make files that stand for
them, which a killed process leaves behind for ever; so that is refused.
"""

import errno
from pathlib import Path
from typing import Any

from filelock import FileLock

from dp_assets.config.errors import NoFileLocksError

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


class SystemLock(FileLock):
    """A lock of the system (`flock`) on a file, which is made if there is none.

    Parameters
    ----------
    path : the file. It stays when the lock is released.
    timeout : seconds to wait for another holder; -1 for ever.
    mode : permissions of a new file; by default what the user's `umask` leaves.
    for_any_thread : another thread than the one that took it may release it.
    """

    def __init__(
        self, path: Path, timeout: float = -1, *, mode: int | None = None, for_any_thread: bool = False
    ) -> None:
        more: dict[str, Any] = {} if mode is None else {"mode": mode}
        super().__init__(path, timeout, thread_local=not for_any_thread, fallback_to_soft=False, **more)

    def acquire(self, *args: Any, **settings: Any) -> Any:
        """Take the lock; as `filelock.FileLock.acquire`.

        Raises
        ------
        NoFileLocksError : the file system has no locks.
        filelock.Timeout : somebody else has it for longer than the timeout.
        """
        try:
            return super().acquire(*args, **settings)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise NoFileLocksError(
                f"this file system has no file locks ({error.strerror or error})",
                where=self.lock_file,
                remedy="mount it with locks (Lustre: option flock; NFS: without nolock), or put the folder "
                "on another file system: without them two runs could write the same result",
            ) from error
