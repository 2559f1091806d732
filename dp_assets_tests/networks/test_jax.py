"""The networks and augmentation layers on JAX give what they give on TensorFlow."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from dp_assets.networks.registry import NetworkRequest, build_network

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed"),
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compares JAX with TensorFlow"),
]

PROGRAM = """
import sys
import numpy as np
from dp_assets.networks.accelerator import AcceleratorSettings, configure_accelerator
report = configure_accelerator(AcceleratorSettings(devices="cpu", deterministic=True))
assert report.devices == ("CPU",) and report.message.startswith("jax"), report
from pathlib import Path
import keras
from dp_assets.networks.augmentation import augmentation_pipeline
from dp_assets.networks.checkpoints import load_weights_by_name
from dp_assets.networks.registry import NetworkRequest, build_network, optimizer_for
assert keras.backend.backend() == "jax" and "tensorflow" not in sys.modules
folder = Path(sys.argv[1])
crops = np.load(folder / "crops.npy")
for name, blocks in (("efficientnet", 0), ("resnet", 50), ("cnn", 2), ("autoencoder", 2)):
    model = build_network(NetworkRequest(name, crops.shape[1:], 3, conv_blocks=blocks))
    load_weights_by_name(model, folder / f"{name}.weights.h5")
    np.save(folder / f"{name}.npy", model.predict(crops, batch_size=4, verbose=0))
augmentation = augmentation_pipeline(1)
small = build_network(NetworkRequest("cnn", crops.shape[1:], 3, conv_blocks=1))
inputs = keras.Input(crops.shape[1:])
training = keras.Model(inputs, small(augmentation(inputs)))
training.compile(optimizer_for("cnn", 1e-3), "categorical_crossentropy")
start, losses = small.get_weights(), []
for _ in range(2):
    small.set_weights(start)
    augmentation.reseed(3)
    losses.append(training.train_on_batch(crops, np.eye(3)[[0, 1, 2, 0]]))
assert np.isfinite(losses).all() and np.isclose(*losses, rtol=1e-6), losses
assert not np.array_equal(start[0], small.get_weights()[0])
"""


def test_jax_gives_the_same_numbers_and_trains(tmp_path: Path) -> None:
    crops = np.random.default_rng(0).random((4, 33, 33, 2), np.float32)
    np.save(tmp_path / "crops.npy", crops)
    expected = {}
    for name, blocks in (("efficientnet", 0), ("resnet", 50), ("cnn", 2), ("autoencoder", 2)):
        model = build_network(NetworkRequest(name, (33, 33, 2), 3, conv_blocks=blocks, seed=4))
        model.save_weights(tmp_path / f"{name}.weights.h5")
        expected[name] = np.asarray(model(crops, training=False))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name, numbers in expected.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), numbers, atol=1e-5, err_msg=name)
