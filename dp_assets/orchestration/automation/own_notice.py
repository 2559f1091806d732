"""A failure handed to a function of the user's own: `notify(failure)` of a file, or any function by name."""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dp_assets.config.errors import ConfigurationError
from dp_assets.orchestration.automation.failures import Failure
from dp_assets.orchestration.automation.secrets import without_secrets

KEY = "automation.notify.plugin"
FUNCTION = "notify"


def call_own(failure: Failure, plugin: str, root: Path) -> None:
    """Call the function. It runs with the rights of the user, like any program.

    Parameters
    ----------
    plugin : a Python file in the project that defines `notify`, or "package.module:function".

    Raises
    ------
    ConfigurationError : there is no such function, or it raises something itself. Secrets in its message are
        masked (`secrets.without_secrets`), since it ends in logs.
    """
    function = _function(plugin, root)
    try:
        function(failure)
    except Exception as error:  # whatever a plug-in raises is the plug-in's fault
        raise ConfigurationError(
            without_secrets(f"{plugin} failed: {type(error).__name__}: {error}"),
            where=f"project.yaml: {KEY}",
            remedy="mend the function, or what it reaches",
        ) from None


def _function(plugin: str, root: Path) -> Callable[[Failure], Any]:
    file, name = (root / plugin, FUNCTION) if plugin.endswith(".py") else (None, plugin.partition(":")[2])
    try:
        module = _read(file) if file is not None else importlib.import_module(plugin.partition(":")[0])
    except Exception as error:  # whatever a plug-in raises while it is imported is the plug-in's fault
        what = f"{plugin} cannot be imported: {type(error).__name__}: {error}"
        raise _unusable(without_secrets(what)) from None
    function = getattr(module, name, None)
    if not callable(function):
        raise _unusable(f"{plugin} has no function {name}")
    return function


def _read(file: Path) -> Any:
    # read again every time: it is short, and may have been repaired
    spec = importlib.util.spec_from_file_location("dp_assets_notify", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _unusable(what: str) -> ConfigurationError:
    return ConfigurationError(
        what,
        where=f"project.yaml: {KEY}",
        remedy=f"define {FUNCTION}(failure) in a Python file of the project, or name package.module:function",
    )
