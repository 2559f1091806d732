"""A process that starts the framework of the networks and does nothing with it.

python -m benchmarks.speed.bare_framework REQUEST ANSWER
"""

import json
import sys
from pathlib import Path

from dp_assets.networks.accelerator import AcceleratorSettings, configure_accelerator


def main() -> None:
    """Import the framework and add two numbers with it."""
    report = configure_accelerator(AcceleratorSettings())
    import keras

    total = float(keras.ops.convert_to_numpy(keras.ops.add(1.0, 1.0)))
    answer = {"devices": list(report.devices), "total": total, "backend": keras.backend.backend()}
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
