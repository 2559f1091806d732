"""Metrics and feeds that plugins add: files of the project's `plugins` folder, and installed packages."""

from collections.abc import Callable, Collection, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from dp_assets.config.errors import ModelError
from dp_assets.networks.plugins import ProjectPlugins
from dp_assets.training.feeds import BUILT_IN, PROFILING_ONLY, FeedTransform
from dp_assets.training.metrics import OWN_METRICS, MetricFactory

METRIC_TABLE, METRIC_GROUP = "METRICS", "dp_assets.metrics"
FEED_TABLE, FEED_GROUP = "FEEDS", "dp_assets.feeds"


def metric_plugins(plugins: ProjectPlugins, *, installed: bool = True) -> dict[str, MetricFactory]:
    """Metrics by name: `METRICS` of plugin files, entry points `dp_assets.metrics` of installed packages.

    Parameters
    ----------
    installed : whether to list those of packages too.

    Raises
    ------
    ModelError : `METRICS` is no dict of functions, a package cannot be imported, a name is taken twice or is
        that of a metric of this package.
    """
    return _table(METRIC_TABLE, METRIC_GROUP if installed else None, plugins, OWN_METRICS)


def feed_plugins(plugins: ProjectPlugins, *, installed: bool = True) -> dict[str, FeedTransform]:
    """Feed transforms by name: `FEEDS` of plugin files, entry points `dp_assets.feeds`; as metric_plugins."""
    return _table(FEED_TABLE, FEED_GROUP if installed else None, plugins, (*BUILT_IN, PROFILING_ONLY))


def _table(
    attribute: str, group: str | None, plugins: ProjectPlugins, reserved: Collection[str]
) -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    origin: dict[str, str] = {}
    for where, name, function in (*_of_files(attribute, plugins), *_of_packages(group)):
        if not callable(function):
            raise ModelError(
                f"{name!r} is a {type(function).__name__}; expected a function",
                where=where,
                remedy="put a function there",
            )
        if name in reserved:
            raise ModelError(
                f"the name {name!r} is taken", where=where, remedy="give the plugin another name"
            )
        if name in found and found[name] is not function:
            raise ModelError(
                f"two plugins are named {name!r}",
                where=f"{origin[name]} and {where}",
                remedy="give one of them another name",
            )
        found[name], origin[name] = function, where
    return found


def _of_files(attribute: str, plugins: ProjectPlugins) -> Iterator[tuple[str, str, Any]]:
    for module in plugins.modules:
        table = getattr(module, attribute, {})
        if not isinstance(table, Mapping):
            raise ModelError(
                f"{attribute} is a {type(table).__name__}; expected a dict from names to functions",
                where=str(module.__file__),
                remedy=f'write {attribute} = {{"my_name": my_function}}',
            )
        for name, function in table.items():
            yield f"{module.__file__}: {attribute}", str(name), function


def _of_packages(group: str | None) -> Iterator[tuple[str, str, Any]]:
    for entry in entry_points(group=group) if group else ():
        where = f"plugin {entry.value}"
        try:
            yield where, entry.name, entry.load()
        except Exception as error:  # whatever a plugin raises while it is imported is the plugin's fault
            raise ModelError(
                f"cannot be imported: {error}",
                where=where,
                remedy="repair or uninstall the package that provides it",
            ) from error
