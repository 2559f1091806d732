"""Metrics and feeds of plugin files and of installed packages."""

from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dp_assets.config.errors import ModelError
from dp_assets.networks.plugins import ProjectPlugins
from dp_assets.training import plugin_tables
from dp_assets.training.plugin_tables import feed_plugins, metric_plugins, plugin_files_content


def file(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = f"/project/plugins/{name}.py"
    vars(module).update(content)
    return module


def one() -> None:
    """A function."""


def two() -> None:
    """Another."""


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[EntryPoint]]:
    """Entry points of packages, by group; empty at first."""
    groups: dict[str, list[EntryPoint]] = {}
    monkeypatch.setattr(plugin_tables, "entry_points", lambda *, group: groups.get(group, []))
    return groups


def test_files_and_packages(installed: dict[str, list[EntryPoint]]) -> None:
    installed["dp_assets.metrics"] = [EntryPoint("theirs", "os.path:join", "dp_assets.metrics")]
    plugins = ProjectPlugins(modules=(file("a", METRICS={"one": one}, FEEDS={"two": two}), file("b")))
    assert set(metric_plugins(plugins)) == {"one", "theirs"}
    assert metric_plugins(plugins, installed=False) == {"one": one}
    assert feed_plugins(plugins) == {"two": two}
    assert feed_plugins(ProjectPlugins()) == {}


def test_the_same_function_twice_is_one(installed: dict[str, list[EntryPoint]]) -> None:
    plugins = ProjectPlugins(modules=(file("a", FEEDS={"one": one}), file("b", FEEDS={"one": one})))
    assert feed_plugins(plugins) == {"one": one}


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ((file("a", FEEDS=[one]),), r"a\.py: FEEDS is a list; expected a dict"),
        ((file("a", FEEDS={"one": 3}),), r"a\.py: FEEDS: 'one' is a int; expected a function"),
        (
            (file("a", FEEDS={"one": one}), file("b", FEEDS={"one": two})),
            r"a\.py: FEEDS and .*b\.py: FEEDS: two plugins are named 'one'",
        ),
    ],
    ids=["list", "number", "twice"],
)
def test_mistakes_name_the_file(modules: tuple[ModuleType, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        feed_plugins(ProjectPlugins(modules=modules))


def test_a_package_that_cannot_be_imported(installed: dict[str, list[EntryPoint]]) -> None:
    installed["dp_assets.feeds"] = [EntryPoint("gone", "no_such_package:feed", "dp_assets.feeds")]
    with pytest.raises(ModelError, match="plugin no_such_package:feed: cannot be imported"):
        feed_plugins(ProjectPlugins())


def test_content_follows_every_file(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    before = plugin_files_content(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing")
    assert plugin_files_content(tmp_path) == before
    (tmp_path / "_b.py").write_text("y = 1")
    assert plugin_files_content(tmp_path) != before
