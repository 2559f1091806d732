"""What native libraries write to standard error while they start, as log records instead of noise."""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

# glog style: severity letter, time, thread, file; "WARNING: All log messages before ..." announces them.
LINE = re.compile(r"^(?P<severity>[IWEF])\d{4} |^WARNING: All log messages before")
LEVELS = {"I": logging.DEBUG, "W": logging.DEBUG, "E": logging.INFO, "F": logging.ERROR, None: logging.DEBUG}
STANDARD_ERROR = 2


@contextmanager
def native_log() -> Iterator[None]:
    """Collect what the block writes to standard error; lines of other kinds are written there afterwards."""
    sys.stderr.flush()
    kept = os.dup(STANDARD_ERROR)
    with tempfile.TemporaryFile() as collected:
        os.dup2(collected.fileno(), STANDARD_ERROR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, STANDARD_ERROR)
            os.close(kept)
            collected.seek(0)
            _pass_on(collected.read().decode(errors="replace"))


def _pass_on(text: str) -> None:
    for line in text.splitlines():
        found = LINE.match(line)
        if found:
            logger.log(LEVELS[found["severity"]], "%s", line)
        else:
            print(line, file=sys.stderr)
