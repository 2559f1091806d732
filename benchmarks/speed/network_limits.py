"""A process that measures what the network takes at least, for a batch of crops that is always the same.

python -m benchmarks.speed.network_limits REQUEST ANSWER
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.speed.result import Limit
from dp_assets.networks.accelerator import AcceleratorSettings, configure_accelerator
from dp_assets.storage.model_folder import ModelFolder

FORWARD = "forward"
LEAST_SECONDS = 1.0


def forward_functions(model: Path, layer: str, batch_size: int) -> dict[str, Callable[[], object]]:
    """Ways to send one batch through the network up to a layer, spatial axes averaged."""
    import keras
    import numpy as np

    from dp_assets.training.model_loading import load_trained_network

    network = load_trained_network(model)
    output = network.get_layer(layer).output
    axes = tuple(range(1, len(output.shape) - 1))
    headless = keras.Model(network.inputs, keras.ops.mean(output, axis=axes) if axes else output)
    crops = np.random.default_rng(0).random((batch_size, *network.input_shape[1:]), np.float32)
    ways: dict[str, Callable[[], object]] = {
        "predict_on_batch": lambda: headless.predict_on_batch(crops),
    }
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        compiled = tf.function(lambda batch: headless(batch, training=False))
        batch = tf.constant(crops)
        ways["tf.function"] = lambda: compiled(batch).numpy()
    return ways


def seconds_per_call(call: Callable[[], object], repeats: int) -> tuple[list[float], list[float], int]:
    """Wall and CPU seconds of a call for each repetition, and calls of each; two calls go before."""
    call()
    started = time.perf_counter()
    call()
    calls = max(3, round(LEAST_SECONDS / (time.perf_counter() - started)))
    walls, cpus = [], []
    for _ in range(repeats):
        started, cpu_started = time.perf_counter(), time.process_time()
        for _ in range(calls):
            call()
        walls.append((time.perf_counter() - started) / calls)
        cpus.append((time.process_time() - cpu_started) / calls)
    return walls, cpus, calls


def main() -> None:
    """Measure the forward pass that the request describes, per cell."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    report = configure_accelerator(AcceleratorSettings())
    folder = ModelFolder.open(Path(request["model"])).local_path(Path(request["cache"]))
    batch_size = request["batch_size"]
    found = []
    for variant, call in forward_functions(folder, request["layer"], batch_size).items():
        walls, cpus, calls = seconds_per_call(call, request["repeats"])
        found.append(
            Limit(
                FORWARD,
                "cell",
                calls * batch_size,
                tuple(wall / batch_size for wall in walls),
                tuple(cpu / batch_size for cpu in cpus),
                variant,
            )
        )
    fastest = min(found, key=lambda limit: statistics.median(limit.wall_s))
    answer = {"limit": asdict(fastest), "devices": list(report.devices)}
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
