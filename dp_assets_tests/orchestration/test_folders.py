"""Projects whose images, locations and index lie elsewhere."""

import json
import shutil
from pathlib import Path

import yaml

from dp_assets_tests.orchestration.materializing import Workshop, call

STAGES = ("index", "prepare")


def made(root: Path) -> dict[str, bytes]:
    """What was made of the pixels and cells."""
    outputs = root / "outputs"
    compressed = {str(p.relative_to(outputs)): p.read_bytes() for p in outputs.rglob("*.png")}
    assert compressed
    return compressed


def run_stages(root: Path) -> None:
    for stage in STAGES:
        result = call(root, "run", stage)
        assert result.exit_code == 0, result.output


def test_folders_of_project_yaml_are_used(tiny: Workshop, tmp_path: Path) -> None:
    usual = shutil.copytree(tiny.root, tmp_path / "usual")
    inputs = tiny.root / "inputs"
    for name in ("images", "locations"):
        shutil.move(inputs / name, tmp_path / "screen" / name)
    (inputs / "metadata/index.csv").rename(inputs / "metadata/part.csv")
    places = {
        "images": str(tmp_path / "screen/images"),
        "locations": str(tmp_path / "screen/locations"),
        "index": "inputs/metadata/part.csv",
    }
    (tiny.root / "project.yaml").write_text(yaml.safe_dump(places))
    run_stages(tiny.root)
    run_stages(usual)
    assert made(tiny.root) == made(usual)
    assert call(tiny.root, "doctor").exit_code == 0
    assert call(tiny.root, "split", "--parts", "2").exit_code == 0
    assert (inputs / "metadata/part-001.csv").exists()


def test_places_outside_that_are_not_allowed_are_named_by_the_doctor(tiny: Workshop, tmp_path: Path) -> None:
    path = tiny.root / "inputs/config/cnn.json"
    elsewhere = {"images": str(tmp_path / "screen")}
    path.write_text(json.dumps({**json.loads(path.read_text()), "paths": elsewhere}))
    assert "is not a place in the project" in " ".join(call(tiny.root, "doctor").output.split())


def test_the_section_paths_is_read_inside_the_project(tiny: Workshop) -> None:
    inputs = tiny.root / "inputs"
    shutil.move(inputs / "images", tiny.root / "raw")
    path = inputs / "config/cnn.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "paths": {"images": "/raw"}}))
    run_stages(tiny.root)
    assert made(tiny.root)
