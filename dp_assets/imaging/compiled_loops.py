"""How loops over pixels are compiled by Numba: all at once, kept on disk, other threads running meanwhile.

The modules of such loops are imported where they are used, not on top: they load the compiler, which most
processes do not need.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

import numba

logger = logging.getLogger(__name__)


def read_only(kind: str, dimensions: int = 1) -> str:
    """The signature of a contiguous array that is only read."""
    return f"Array({kind}, {dimensions}, 'C', readonly=True)"


def compiled(signatures: Iterable[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a loop for these signatures when its module is imported, or load what was compiled before.

    All of them, always in the same order: processes that begin at the same moment then write the same files.
    Where nothing can be kept, every process compiles for itself.
    """
    wanted = list(signatures)

    def made(loop: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return numba.njit(wanted, nogil=True, cache=True)(loop)
        except (RuntimeError, OSError) as error:
            # No folder for it beside the package or in the user's cache (NUMBA_CACHE_DIR names another), or a
            # full one.
            logger.info("machine code is not kept for the next process: %s", error)
            return numba.njit(wanted, nogil=True)(loop)

    return made
