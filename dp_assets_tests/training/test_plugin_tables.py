"""Metrics and feeds of plugin files and of installed packages."""

from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from dp_assets.config.errors import ModelError
from dp_assets.networks.plugins import ProjectPlugins
from dp_assets.training import plugin_tables
from dp_assets.training.plugin_tables import feed_plugins, metric_plugins


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


@pytest.mark.parametrize("name", ["sampled_crop_generator", "repeat_channel_crop_generator"])
def test_feeds_cannot_take_names_of_this_package(name: str) -> None:
    with pytest.raises(ModelError, match=rf"a\.py: FEEDS: the name '{name}' is taken"):
        feed_plugins(ProjectPlugins(modules=(file("a", FEEDS={name: one}),)))


@pytest.mark.parametrize("name", ["accuracy", "top_k"])
def test_metrics_cannot_take_names_of_this_package(name: str) -> None:
    with pytest.raises(ModelError, match=rf"a\.py: METRICS: the name '{name}' is taken"):
        metric_plugins(ProjectPlugins(modules=(file("a", METRICS={name: one}),)))
