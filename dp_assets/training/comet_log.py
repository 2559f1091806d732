"""Following a training on comet.com, or into an archive that is uploaded later."""

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from dp_assets.config.errors import ConfigurationError
from dp_assets.training.training_log import Parameters

KNOWN_KEYS = ("log_type", "api_key", "project_name", "workspace", "offline_directory")
LOG_TYPE = "comet_ml"
INSTALL = 'pip install "dp-assets[comet]"'
# A configuration asks for parameters and curves; code, machine and console are nobody's business.
QUIET: dict[str, Any] = {
    "log_code": False,
    "log_graph": False,
    "parse_args": False,
    "log_git_metadata": False,
    "log_git_patch": False,
    "log_env_details": False,
    "auto_output_logging": False,
    "auto_param_logging": False,
    "auto_metric_logging": False,
    "auto_log_co2": False,
    "display_summary_level": 0,
}
# Read when the package is imported. Otherwise it now and then reports to its makers over the network, even
# offline, and reaches into Keras to log on its own.
QUIET_PACKAGE = {"COMET_ERROR_TRACKING_ENABLE": "false", "COMET_DISABLE_AUTO_LOGGING": "1"}


class CometLog:
    """A run on comet.com. Source: handbook, key file `comet_ml`.

    Parameters
    ----------
    key_file : JSON: log_type "comet_ml", api_key, project_name, optionally workspace; with offline_directory
        nothing is sent, and archives for `comet upload` are written there instead (api_key may be left out;
        a relative folder is taken from that of the key file).

    Raises
    ------
    ConfigurationError : the key file is missing, is no such JSON, or comet_ml is not installed.
    """

    name = "Comet"

    def __init__(self, key_file: Path) -> None:
        key = read_key(key_file)
        self._comet = _module(key_file)
        self._account = {name: key.get(name) for name in ("api_key", "project_name", "workspace")}
        offline = key.get("offline_directory")
        self._offline = None if offline is None else key_file.parent / offline
        self.delivers_at_end = self._offline is not None
        self._experiment: Any = None

    def begin(self, run: str | None, title: str, parameters: Parameters) -> str:
        """Begin an experiment, or go on with the one whose key is `run`; returns its key."""
        folder = {"offline_directory": str(self._offline)} if self._offline else {}
        self._experiment = self._comet.start(
            **self._account,
            online=self._offline is None,
            mode="create" if run is None else "get",
            experiment_key=run,
            experiment_config=self._comet.ExperimentConfig(name=title, **QUIET, **folder),
        )
        if not self._experiment.alive:
            raise ConnectionError("there is no connection to the server, or it does not know the api_key")
        if run is None:
            self._experiment.log_parameters(dict(parameters))
        return str(self._experiment.get_key())

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Record an epoch."""
        self._experiment.log_metrics(dict(values), step=epoch, epoch=epoch)

    def end(self, finished: bool) -> None:
        """Deliver what is left and close the experiment."""
        self._experiment.log_other("finished", finished)
        self._experiment.end()


def read_key(path: Path) -> dict[str, str]:
    """The key file of comet.com.

    Raises
    ------
    ConfigurationError : it is missing, no JSON, of another service, or lacks a key; names file and key.
    """
    remedy = (
        'write {"log_type": "comet_ml", "api_key": "...", "project_name": "..."} into it '
        "(the key is shown at comet.com, API keys)"
    )
    try:
        key = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise _bad(path, f"the Comet key file cannot be read: {reason}", remedy) from error
    if not isinstance(key, dict):
        raise _bad(path, f"the Comet key file holds a {type(key).__name__}, not keys and values", remedy)
    for name in KNOWN_KEYS:
        if name in key and not (isinstance(key[name], str) and key[name].strip()):
            raise _bad(path, f"{name} is empty or a {type(key[name]).__name__}; expected text", remedy, name)
    if key.get("log_type", LOG_TYPE) != LOG_TYPE:
        raise _bad(path, f"log_type is {key['log_type']!r}; expected {LOG_TYPE!r}", remedy, "log_type")
    needed = ("project_name",) if "offline_directory" in key else ("api_key", "project_name")
    for name in needed:
        if name not in key:
            raise _bad(path, f"{name} is missing", remedy, name)
    return {name: key[name].strip() for name in KNOWN_KEYS if name in key}


def _module(path: Path) -> ModuleType:
    for variable, value in QUIET_PACKAGE.items():
        os.environ.setdefault(variable, value)
    try:
        return importlib.import_module("comet_ml")
    except ImportError as error:
        raise ConfigurationError(
            f"the experiment is to be followed on comet.com, but comet_ml cannot be imported ({error})",
            where=f"logging.comet: {path}",
            remedy=f"{INSTALL}, or take logging.comet out",
        ) from error


def _bad(path: Path, what: str, remedy: str, key: str = "") -> ConfigurationError:
    return ConfigurationError(what, where=f"{path}: {key}" if key else str(path), remedy=remedy)
