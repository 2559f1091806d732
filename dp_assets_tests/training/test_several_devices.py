"""Trainings that several devices share give what one device gives; virtual devices of the CPU stand in."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from dp_assets.config.errors import DeviceError
from dp_assets.networks.distribution import filled_up, repeated_evenly, shared_by, whole_batches
from dp_assets.training.identity import training_identity
from dp_assets.training.model_loading import load_trained_network
from dp_assets.training.trainer import train_network
from dp_assets_tests.training.interruptions import curve
from dp_assets_tests.training.synthetic import HEADS, labelled_cells, training_settings


def train(folder: Path, devices: int, *options: str, backend: str = "tensorflow") -> tuple[int, str]:
    """Train in a process of its own; its exit code and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "dp_assets_tests.training.shared_run", str(folder), str(devices), *options],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr[-3000:]


def assert_alike(one: Path, two: Path) -> None:
    """Both folders hold the same training, but for rounding."""
    ours, theirs = (load_trained_network(folder).get_weights() for folder in (one, two))
    assert len(ours) == len(theirs) > 0
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-4)
    logs = [curve(pd.read_csv(folder / "log.csv")) for folder in (one, two)]
    assert len(logs[0]) == 4
    pd.testing.assert_frame_equal(*logs, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_give_the_weights_of_one(tmp_path: Path, backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    for devices in (1, 2):
        code, said = train(tmp_path / str(devices), devices, backend=backend)
        assert code == 0, said
    assert "which stands in for 2 devices" in said
    assert_alike(tmp_path / "1", tmp_path / "2")


@pytest.mark.slow
def test_a_training_on_two_devices_that_was_killed_goes_on(tmp_path: Path) -> None:
    code, said = train(tmp_path / "killed", 2, "--die")
    assert code == -signal.SIGKILL, said
    code, said = train(tmp_path / "killed", 2)
    assert code == 0, said
    assert "resumed after 2" in said
    code, said = train(tmp_path / "undisturbed", 2)
    assert code == 0, said
    assert_alike(tmp_path / "killed", tmp_path / "undisturbed")


def test_one_device_is_the_training_of_versions_that_knew_no_other() -> None:
    # computed with the version before several devices could be asked for, digests being BLAKE3
    cells = labelled_cells()
    made = [
        training_identity(training_settings(devices=n), HEADS, cells, None, "float32", "pixels")
        for n in (1, 2)
    ]
    assert made[0] == "8084fe4edcb67331bc9a4cb27208ab31" != made[1]


@pytest.mark.parametrize("devices", [1, 2, 3, 4])
@pytest.mark.parametrize("cells", [0, 1, 5, 6, 12])
def test_rows_are_shared_evenly(cells: int, devices: int) -> None:
    rows = np.arange(cells) * 3
    even = repeated_evenly(rows, devices)
    assert len(even) % devices == 0
    assert not cells or np.unique(np.unique(even, return_counts=True)[1]).size == 1
    assert set(even) == set(rows)
    assert len(even) == cells or cells % devices
    whole = whole_batches(rows, devices)
    assert len(whole) % devices == 0
    assert 0 <= cells - len(whole) < devices
    filled = filled_up(np.ones((cells, 2, 2, 1)), devices)
    assert len(filled) % devices == 0
    assert filled.sum() == 4 * cells
    both = filled_up((np.ones((cells, 2, 2, 1), np.uint8), np.ones((cells, 2, 1))), devices)
    assert [(len(part), part.sum()) for part in both] == [(len(filled), 4 * cells), (len(filled), 2 * cells)]
    if devices == 1:
        assert np.array_equal(even, rows)
        assert np.array_equal(whole, rows)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"params\.batch_size \(8\) cannot be shared evenly by 3 devi"):
        training_settings(devices=3)


def test_a_process_with_fewer_devices_says_so(tmp_path: Path) -> None:
    with (
        pytest.raises(
            DeviceError, match=r"the training asks for 8 devices, and this process was set up with"
        ),
        shared_by(8),
    ):
        pass
    with pytest.raises(DeviceError, match=r"train\.model\.devices"):
        train_network(
            settings=training_settings(devices=8),
            heads=HEADS,
            training=labelled_cells(),
            validation=None,
            folder=tmp_path,
        )
