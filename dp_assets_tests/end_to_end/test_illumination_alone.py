"""Illumination functions without training anything: the commands, and the snippets of docs/compression.md."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp_assets.orchestration.project_setup import set_up_project
from dp_assets.storage.images import read_image
from dp_assets_tests.conftest import REPOSITORY
from dp_assets_tests.end_to_end.conftest import Command
from dp_assets_tests.orchestration.materializing import Workshop

FIRST, SECOND = "TINY00001", "TINY00002"


def blocks(language: str) -> list[str]:
    """The code blocks of the section on illumination, in order."""
    page = (REPOSITORY / "docs" / "compression.md").read_text(encoding="utf-8")
    section = page.partition("\n## Illumination correction alone\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def documented_experiment() -> dict[str, Any]:
    """The experiment that the page shows."""
    [text] = blocks("json")
    return json.loads(text)


@pytest.fixture
def alone(tiny: Workshop) -> Workshop:
    """A project with the documented experiment and nothing else: no locations, no labels."""
    configs = tiny.root / "inputs" / "config"
    shutil.rmtree(configs)
    shutil.rmtree(tiny.root / "inputs" / "locations")
    configs.mkdir()
    experiment = documented_experiment()
    experiment["dataset"]["images"]["channels"] = ["DNA", "RNA", "Mito"]
    (configs / "light.json").write_text(json.dumps(experiment), encoding="utf-8")
    set_up_project(tiny.root)
    return tiny


def test_commands_and_documented_use(
    alone: Workshop, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("index", "prepare"):
        arguments = ["--plates", FIRST] if stage == "prepare" else []
        done = command(alone.root, "dp-assets", "run", stage, *arguments)
        assert done.returncode == 0, (done.stdout, done.stderr)
    functions = alone.root / "outputs" / "intensities"
    assert [path.name for path in functions.iterdir()] == [f"{FIRST}.npz"]
    done = command(
        alone.root,
        "dagster",
        "asset",
        "materialize",
        "-m",
        "dp_assets.definitions",
        "--select",
        "plate_images,illumination_functions",
        "--partition",
        SECOND,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in functions.iterdir()) == [f"{FIRST}.npz", f"{SECOND}.npz"]
    assert not (alone.root / "outputs" / "compressed").exists() or not any(
        path.is_file() for path in (alone.root / "outputs" / "compressed").rglob("*")
    )
    monkeypatch.chdir(alone.root)
    check_documented_snippets()


def check_documented_snippets() -> None:
    """Run the page's snippets in the project folder, as a reader would, and look at what they made."""
    ours, elsewhere = blocks("python")
    image = next(Path("inputs/images", FIRST).glob("*DNA*"))
    names: dict[str, Any] = {}
    exec(
        ours.replace("P1.npz", f"{FIRST}.npz").replace("inputs/images/P1/A01_s1_DNA.tiff", str(image)), names
    )
    np.testing.assert_array_equal(names["corrected"], read_image(image) / names["light"])
    assert names["light"].shape == read_image(image).shape
    assert names["light"].min() == 1
    alone: dict[str, Any] = {}
    exec(elsewhere.replace("P1.npz", f"{FIRST}.npz"), alone)
    np.testing.assert_allclose(np.load("DNA.npy"), names["light"], rtol=1e-9)
    assert {path.name for path in Path().glob("*.npy")} == {"DNA.npy", "RNA.npy", "Mito.npy"}
