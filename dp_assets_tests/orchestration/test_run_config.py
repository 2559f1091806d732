"""Run configurations: files as they are shipped, and what options of the command line add."""

import re
from pathlib import Path

import pytest

from dp_assets.config.errors import ConfigurationError
from dp_assets.orchestration.run_config import read_run_config
from dp_assets_tests.conftest import REPOSITORY
from dp_assets_tests.orchestration.materializing import Workshop, call


def test_options_go_before_the_file() -> None:
    path = REPOSITORY / "configs/runs/gpu_bfloat16.yaml"
    assert read_run_config(path, devices="cpu", cores=3) == {
        "resources": {
            "accelerator": {"config": {"devices": "cpu", "precision": "mixed_bfloat16"}},
            "project": {"config": {"cores": 3}},
        }
    }
    assert read_run_config(None, devices=None, cores=None) == {}


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("- a list")
    with pytest.raises(ConfigurationError, match=r"run\.yaml"):
        read_run_config(path, devices=None, cores=None)


def test_a_device_that_does_not_exist_is_named(finished: Workshop) -> None:
    call(finished.root, "run", "index")
    result = call(finished.root, "run", "train", "--gpu", "7", "--force")
    assert result.exit_code == 1
    # refused as missing, or, where this process has a device already, as another one
    assert re.search(r"devices(=|: )'7'", result.output)


def test_the_number_of_cores_and_a_shipped_file_reach_the_run(finished: Workshop) -> None:
    call(finished.root, "run", "index")
    preset = REPOSITORY / "configs/runs/skip_bad_sites.yaml"
    result = call(finished.root, "run", "prepare", "--cores", "1", "--run-config", str(preset))
    assert result.exit_code == 0, result.output
