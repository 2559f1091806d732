"""Run one command and write down what it took. A process of its own, which imports next to nothing.

python -S -m benchmarks.speed.launch REPORT LOG COMMAND [ARGUMENT ...]

The system counts the memory of a new process from that of the process that started it; this one is small.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

KILOBYTE = 1024 if sys.platform != "darwin" else 1


def main() -> int:
    """Run the command of the command line; its exit code is that of this process."""
    report, log, *command = sys.argv[1:]
    with open(log, "ab") as sink:
        actions = [(os.POSIX_SPAWN_DUP2, sink.fileno(), 1), (os.POSIX_SPAWN_DUP2, sink.fileno(), 2)]
        began, started = time.time(), time.perf_counter()
        pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
        _, status, used = os.wait4(pid, 0)
        wall = time.perf_counter() - started
    facts = {
        "began": began,
        "wall_s": wall,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * KILOBYTE,
        "own_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE,
    }
    Path(report).write_text(json.dumps(facts), encoding="utf-8")
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
