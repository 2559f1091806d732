"""Tiny projects to materialize: one new for every test, and one whose whole graph was made once."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from dp_assets.example.tiny import write_tiny_project
from dp_assets_tests.orchestration.materializing import INDEX, Workshop

PLATES = ("TINY00001", "TINY00002")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No project and no Dagster instance of the machine leaks into a test, or out of it."""
    for name in ("DP_PROJECT", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "unset")
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def tiny_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project of two plates with the experiment `cnn`; not to be changed."""
    return _written(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def finished_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project with its whole graph made for both plates; not to be changed."""
    return _finished(tmp_path_factory.getbasetemp())


# Kept by function, not by fixture: the end-to-end tests import these fixtures, which makes them anew.
@cache
def _written(base: Path) -> Path:
    write_tiny_project(base / "tiny" / "project")
    return base / "tiny" / "project"


@cache
def _finished(base: Path) -> Path:
    root = shutil.copytree(_written(base), base / "finished" / "project")
    Workshop(root).make_all(*PLATES)
    return root


@pytest.fixture
def tiny(tiny_template: Path, tmp_path: Path) -> Workshop:
    """A tiny project of its own, nothing made yet."""
    return Workshop(shutil.copytree(tiny_template, tmp_path / "project"))


@pytest.fixture
def finished(finished_template: Path, tmp_path: Path) -> Workshop:
    """A tiny project of its own, everything made, its plates registered."""
    workshop = Workshop(shutil.copytree(finished_template, tmp_path / "project"))
    assert workshop.make(*INDEX).succeeded
    return workshop


@pytest.fixture
def write_project(tmp_path: Path) -> Callable[..., Workshop]:
    """Write a tiny project with other settings."""

    def write(**settings: object) -> Workshop:
        write_tiny_project(tmp_path / "project", **settings)  # type: ignore[arg-type]
        return Workshop(tmp_path / "project")

    return write


@pytest.fixture(autouse=True)
def open_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep pytest's own streams open.

    TensorFlow's logging library holds the standard error of the moment it was imported. Dagster sets up
    logging anew for every run, which closes that stream unless it is the current one; under click's runner it
    is not.
    """
    monkeypatch.setattr("absl.logging.PythonHandler.close", lambda _: None)
