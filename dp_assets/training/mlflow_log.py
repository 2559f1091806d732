"""Following a training on an MLflow server, or in a folder."""

import importlib
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dp_assets.config.credentials import masked
from dp_assets.config.errors import ConfigurationError
from dp_assets.training.training_log import Parameters

EXPERIMENT = "dp_assets"
DATABASE = "mlflow.db"
INSTALL = 'pip install "dp-assets[mlflow]"'
# Longer values are refused by the tracking API.
LONGEST_VALUE = 500
PARAMETERS_AT_ONCE = 100
# Metrics of further heads carry the names of columns, which may hold anything.
ILLEGAL = re.compile(r"[^\w\-. :/]")


class MlflowLog:
    """A run in the MLflow experiment `dp_assets`.

    Parameters
    ----------
    address : of a tracking server ("http://...", or any tracking URI), or a folder, in which `mlflow.db` is
        made (MLflow no longer writes plain folders); show it with
        `mlflow ui --backend-store-uri sqlite:///<folder>/mlflow.db`.

    Raises
    ------
    ConfigurationError : mlflow is not installed.
    """

    name = "MLflow"
    delivers_at_end = False

    def __init__(self, address: str) -> None:
        # Read when the package is imported: it would report its use to its makers.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            self._mlflow = importlib.import_module("mlflow")
            self._entities = importlib.import_module("mlflow.entities")
        except ImportError as error:
            raise ConfigurationError(
                f"the experiment is to be followed with MLflow, but mlflow cannot be imported ({error})",
                where=f"logging.mlflow: {masked(address)}",
                remedy=f"{INSTALL}, or take logging.mlflow out",
            ) from error
        self._folder = (
            None if "://" in address or address.startswith("databricks") else Path(address).resolve()
        )
        self._address = address
        self._client: Any = None
        self._run = ""

    def begin(self, run: str | None, title: str, parameters: Parameters) -> str:
        """Begin a run, or go on with the one of the id `run`; returns its id."""
        self._client = self._mlflow.MlflowClient(tracking_uri=self._tracking_uri())
        if run is not None:
            self._client.update_run(run, status="RUNNING")
            self._run = run
            return run
        self._run = str(self._client.create_run(self._experiment(), run_name=title).info.run_id)
        params = [
            self._entities.Param(_legal(name), str(value)[:LONGEST_VALUE])
            for name, value in parameters.items()
        ]
        for start in range(0, len(params), PARAMETERS_AT_ONCE):
            self._client.log_batch(self._run, params=params[start : start + PARAMETERS_AT_ONCE])
        return self._run

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Record an epoch."""
        now = int(1000 * time.time())
        metrics = [self._entities.Metric(_legal(name), value, now, epoch) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def end(self, finished: bool) -> None:
        """Close the run."""
        self._client.set_terminated(self._run, status="FINISHED" if finished else "FAILED")

    def _tracking_uri(self) -> str:
        if self._folder is None:
            return self._address
        self._folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{self._folder / DATABASE}"

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        # Without this the database would put artifacts below the folder the program was started in.
        place = None if self._folder is None else (self._folder / "artifacts").as_uri()
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=place))


def _legal(name: str) -> str:
    return ILLEGAL.sub("_", name)
