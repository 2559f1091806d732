"""Symbolic links: what may be read lies in the folder asked for, or in one that the project allows.

The folder itself may be a link (`inputs/images -> /data/screen`): whoever made it chose the whole of it. A
link below it may not lead elsewhere, because the names come out of tables that others write.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from upath import UPath

from dp_assets.storage.atomic import is_local


def why_elsewhere(path: Path | UPath, folder: Path | UPath, roots: Sequence[str]) -> str | None:
    """Why a file must not be read: a link leads out of the allowed folders; None when it may be.

    Parameters
    ----------
    path : a local file; of one on an object store, which has no links, nothing is asked.
    folder : where the project keeps such files.
    roots : `image_roots` of the project.
    """
    if not is_local(path):
        return None
    real = os.path.realpath(path)
    allowed: list[str] = [
        *([str(folder)] if is_local(folder) else []),
        *(root for root in roots if "://" not in root),
    ]
    if any(_lies_under(real, os.path.realpath(place)) for place in allowed):
        return None
    return (
        f"a symbolic link leads to {real}, outside of {folder} and of image_roots (add the folder that it "
        "leads to to image_roots in project.yaml, or copy the file)"
    )


def is_special(path: Path | UPath) -> bool:
    """Whether a path names a pipe, a device or a socket: opening one may wait for ever, or never end."""
    if not is_local(path):
        return False
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _lies_under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
