"""Setting up the framework, each time in a process of its own, as it happens once per process."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PRELUDE = """
import json, os, sys
from dp_assets.config.errors import DeviceError
from dp_assets.networks.accelerator import AcceleratorSettings, configure_accelerator
assert not {"tensorflow", "keras", "jax"} & set(sys.modules), "importing the module imports a framework"

def refused(**settings):
    try:
        configure_accelerator(AcceleratorSettings(**settings))
    except DeviceError as error:
        return str(error)
    return None

"""


def run(code: str, *, folder: Path | None = None, **environment: str) -> dict:
    """Run code in a fresh process and return the dictionary `answer` that it makes."""
    program = PRELUDE + textwrap.dedent(code) + "\nprint('ANSWER', json.dumps(answer))"
    inherited = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
    path = f"{folder}{os.pathsep}{inherited['PATH']}" if folder else inherited["PATH"]
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**inherited, **environment, "PATH": path},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    return json.loads(line.removeprefix("ANSWER"))


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    """A folder with a program that lists two graphics processors, as the driver's own does."""
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'GPU 0: Tesla T4 (UUID: GPU-aaaa)'\necho 'GPU 1: Tesla T4 (UUID: GPU-bbbb)'\n"
    )
    program.chmod(0o755)
    return tmp_path


def test_a_process_is_set_up_once_and_says_when_the_cpu_computes(driver: Path) -> None:
    answer = run(
        """
        settings = AcceleratorSettings(deterministic=True)
        report = configure_accelerator(settings)
        again = configure_accelerator(AcceleratorSettings(deterministic=True, precision="mixed_bfloat16"))
        import tensorflow as tf
        answer = {
            "devices": report.devices,
            "message": report.message,
            "again": again == report,
            "other": refused(devices="cpu", deterministic=True),
            "growth": refused(deterministic=True, memory_growth=False),
        }
        # With determinism on, TensorFlow refuses what cannot be reproduced: random numbers without a seed.
        try:
            tf.random.uniform((2,))
        except RuntimeError as error:
            answer["random"] = str(error)
        """,
        folder=driver,
        CUDA_VISIBLE_DEVICES="",
    )
    assert answer["devices"] == ["CPU"]
    assert "computes on the CPU" in answer["message"]
    assert "Tesla T4" in answer["message"]  # there is one, but it is hidden: the message must say so
    assert answer["again"]
    assert "was set up with" in answer["other"]
    assert "was set up with" in answer["growth"]
    assert "determinism" in answer["random"]


def test_devices_that_cannot_be_had_are_refused_and_the_cpu_can_always_be_had(driver: Path) -> None:
    answer = run(
        """
        answer = {"missing": refused(devices="5")}
        os.environ["KERAS_BACKEND"] = "torch"
        answer["backend"] = refused()
        os.environ["KERAS_BACKEND"] = "tensorflow"
        answer["early"] = "tensorflow" in sys.modules
        answer["unusable"] = refused(devices="GPU-bbbb")
        os.environ.pop("CUDA_VISIBLE_DEVICES")
        answer["late"] = refused(devices="0")
        answer["cpu"] = configure_accelerator(AcceleratorSettings(devices="cpu")).message
        answer["visible"] = os.environ["CUDA_VISIBLE_DEVICES"]
        import tensorflow as tf
        answer["gpus"] = len(tf.config.get_visible_devices("GPU"))
        """,
        folder=driver,
    )
    assert "there is no device 5" in answer["missing"]
    assert "GPU-aaaa" in answer["missing"]
    assert "tensorflow, jax" in answer["backend"]
    assert not answer["early"]  # these checks need no framework
    assert "tensorflow can use 0 of the devices" in answer["unusable"]  # the listed one is not real
    assert "was imported before" in answer["late"]
    assert answer["cpu"] == "tensorflow computes on the CPU, as asked for"
    assert answer["visible"] == "-1"
    assert answer["gpus"] == 0


def test_the_cpu_after_a_driver_that_fails_is_said_with_the_reason(tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'no answer of the driver'\nexit 9\n")
    program.chmod(0o755)
    answer = run(
        """
        told = []
        report = configure_accelerator(AcceleratorSettings(), told.append)
        answer = {"devices": report.devices, "message": report.message, "told": told}
        """,
        folder=tmp_path,
        CUDA_VISIBLE_DEVICES="-1",
    )
    assert answer["devices"] == ["CPU"]
    for text in (answer["message"], *answer["told"]):
        assert "nvidia-smi is installed, but failed (exit code 9) and said: no answer of the driver" in text
    assert len(answer["told"]) == 1
