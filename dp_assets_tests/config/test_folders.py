"""Places of images, locations and index: of project.yaml, and of the older section `paths`."""

from pathlib import Path
from typing import Any

import pytest

from dp_assets.config.folders import Folders, with_legacy_paths

USUAL = {"images": "/inputs/images", "locations": "/inputs/locations", "index": "/inputs/metadata/index.csv"}


def read(root: Path, paths: Any, *, roots: tuple[str, ...] = (), folders: Folders | None = None) -> Any:
    return with_legacy_paths(folders or Folders(), {"paths": paths}, "config.json", root, roots)


def test_the_usual_places_are_nothing_special(tmp_path: Path) -> None:
    assert read(tmp_path, USUAL) == (Folders(), ())
    absolute = {key: str(tmp_path) + value for key, value in USUAL.items()}
    assert read(tmp_path, absolute) == (Folders(), ())
    assert read(tmp_path, None) == (Folders(), ())
    assert read(tmp_path, {"images": 3, "features": "/elsewhere"}) == (Folders(), ())


def test_places_in_the_project_are_taken_with_or_without_a_slash(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for value in ("/raw", "raw", str(tmp_path / "raw")):
        assert read(tmp_path, {"images": value}) == (Folders(images=str(tmp_path / "raw")), ())


def test_places_outside_count_where_the_project_allows_them(tmp_path: Path) -> None:
    root, outside = tmp_path / "project", tmp_path / "screen"
    (outside / "images").mkdir(parents=True)
    root.mkdir()
    value = str(outside / "images")
    assert read(root, {"images": value}, roots=(str(outside),)) == (Folders(images=value), ())
    found, (problem,) = read(root, {"images": value})
    assert found == Folders()
    assert problem.where == "config.json: paths.images"
    assert f"images: {value}" in problem.remedy


@pytest.mark.parametrize("value", ["../screen", "/../screen", "inputs/../../screen"])
def test_places_that_climb_out_do_not_count(tmp_path: Path, value: str) -> None:
    (tmp_path / "screen").mkdir()
    (tmp_path / "project" / "inputs").mkdir(parents=True)
    found, problems = read(tmp_path / "project", {"locations": value})
    assert found == Folders()
    assert len(problems) == 1


def test_project_yaml_goes_before(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    given = Folders(images="/data/images")
    assert read(tmp_path, {"images": "/raw"}, folders=given) == (given, ())
