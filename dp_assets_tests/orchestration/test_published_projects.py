"""Projects around configuration files that laboratories have published: the doctor finds them in order."""

import shutil
from pathlib import Path

import pytest

from dp_assets.orchestration.doctor import examine
from dp_assets.orchestration.project_setup import set_up_project
from dp_assets_tests.conftest import shared_folder

FILES = sorted((shared_folder() / "reference" / "configs").glob("*.json"))


@pytest.mark.skipif(not FILES, reason="reference configurations not found (set DP_SHARED)")
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_only_the_index_is_absent(shared: Path, tmp_path: Path, file: Path) -> None:
    set_up_project(tmp_path)
    shutil.copy(file, tmp_path / "inputs" / "config" / file.name)
    examinations = {found.name: found for found in examine(tmp_path)}
    problems = [problem for found in examinations.values() for problem in found.problems]
    assert [problem.what for problem in problems] == ["there is no image index"], problems
    assert examinations["image index"].problems == problems
    assert len(examinations["configuration"].summary.split(", ")) == 1
    assert not examinations["configuration"].summary.endswith("none")
