"""A process that writes an untrained EfficientNet-B0 as a checkpoint that both programs read.

python -m benchmarks.speed.checkpoint_process REQUEST ANSWER
"""

import json
import sys
from pathlib import Path


def main() -> None:
    """Write the checkpoint that the request asks for."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    from dp_assets.networks.accelerator import AcceleratorSettings, configure_accelerator

    configure_accelerator(AcceleratorSettings(devices="cpu"))
    from dp_assets.networks.legacy_checkpoint import write_legacy_checkpoint
    from dp_assets.networks.registry import NetworkRequest, build_network

    shape = (request["box"], request["box"], request["channels"])
    network = build_network(NetworkRequest("efficientnet", shape, classes=request["classes"]))
    write_legacy_checkpoint(network, Path(request["target"]))
    Path(sys.argv[2]).write_text("{}", encoding="utf-8")


if __name__ == "__main__":
    main()
