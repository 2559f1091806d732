"""URLs in project.yaml: which are refused before anything is read, and what is said."""

import importlib.util
from pathlib import Path

import pytest
import yaml

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.places import place_problem
from dp_assets.config.project import load_project


@pytest.mark.parametrize("place", ["outputs", "/data/a@b", "s3://bucket/a@b", "memory://x", "gs://bucket"])
def test_places_without_credentials_are_fine(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert place_problem(place, "project.yaml: store") is None


@pytest.mark.parametrize("key", ["store", "images", "locations", "index", "image_roots"])
def test_credentials_are_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    (tmp_path / "project.yaml").write_text(yaml.safe_dump({key: "s3://AKIA123:topsecret@bucket/project"}))
    with pytest.raises(ConfigurationError, match="holds credentials") as caught:
        load_project(tmp_path)
    assert "topsecret" not in str(caught.value)
    assert "AKIA123" not in str(caught.value)
    problem = caught.value.problems[0]
    assert problem.where.endswith(f"project.yaml: {key}")
    assert "write s3://bucket/project" in problem.remedy


@pytest.mark.parametrize(
    ("url", "library", "remedy"),
    [
        ("s3://b/p", "s3fs", "pip install 'dp-assets[s3]'"),
        ("gs://b/p", "gcsfs", "pip install gcsfs"),
    ],
)
def test_a_library_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, library: str, remedy: str
) -> None:
    (tmp_path / "project.yaml").write_text(f"store: {url}\n")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=f"needs {library}, which is not installed") as caught:
        load_project(tmp_path)
    assert caught.value.problems[0].remedy == remedy


def test_a_url_without_bucket_is_refused() -> None:
    problem = place_problem("s3:///project", "project.yaml: store")
    assert problem is not None
    assert "names no bucket" in problem.what


def test_the_cache_is_set_in_project_yaml(tmp_path: Path) -> None:
    assert load_project(tmp_path).settings.cache_gigabytes == 20
    (tmp_path / "project.yaml").write_text("cache: /scratch\ncache_gigabytes: 0.5\n")
    settings = load_project(tmp_path).settings
    assert (settings.cache, settings.cache_gigabytes) == ("/scratch", 0.5)
    (tmp_path / "project.yaml").write_text("cache_gigabytes: -1\n")
    with pytest.raises(ConfigurationError, match="cache_gigabytes"):
        load_project(tmp_path)
