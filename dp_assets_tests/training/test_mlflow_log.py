"""MLflow: what is asked of its tracking client, and once with the real one where it is installed."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from dp_assets.config.errors import ConfigurationError
from dp_assets.training.mlflow_log import MlflowLog
from dp_assets.training.resume_state import EpochLog
from dp_assets.training.training_log import TrainingLog

ENTRIES: list[EpochLog] = [{"epoch": n, "loss": 1 / n, "Dose (uM)_accuracy": n / 4} for n in (1, 2, 3)]


class Client:
    """A tracking client that writes down its calls."""

    calls: list[Any] = []  # noqa: RUF012  # shared, as a server is

    def __init__(self, tracking_uri: str) -> None:
        self.calls.append(("client", tracking_uri))

    def get_experiment_by_name(self, name: str) -> Any:
        made = [call for call in self.calls if call[:2] == ("experiment", name)]
        return SimpleNamespace(experiment_id="7") if made else None

    def create_experiment(self, name: str, artifact_location: str | None = None) -> str:
        self.calls.append(("experiment", name, artifact_location))
        return "7"

    def create_run(self, experiment_id: str, run_name: str) -> Any:
        self.calls.append(("run", experiment_id, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def update_run(self, run_id: str, status: str) -> None:
        self.calls.append(("update", run_id, status))

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        self.calls.append(("batch", run_id, list(metrics), list(params)))

    def set_terminated(self, run_id: str, status: str) -> None:
        self.calls.append(("terminated", run_id, status))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Calls of a fake mlflow."""
    mlflow, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    vars(mlflow)["MlflowClient"] = Client
    vars(entities)["Param"] = lambda name, value: (name, value)
    vars(entities)["Metric"] = lambda name, value, _, step: (name, value, step)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.setattr(Client, "calls", [])
    return Client.calls


def follow(folder: Path, address: str, done: int, to: int) -> None:
    log = TrainingLog([MlflowLog(address)], folder)
    with log.following("B0", {"classes": 3, "note": "x" * 600}, ENTRIES[:done]):
        for entry in ENTRIES[done:to]:
            log.add(entry)


def test_a_run_on_a_server(tmp_path: Path, calls: list[Any]) -> None:
    follow(tmp_path, "http://tracking:5000", 0, 2)
    follow(tmp_path, "http://tracking:5000", 2, 3)
    assert calls == [
        ("client", "http://tracking:5000"),
        ("experiment", "dp_assets", None),
        ("run", "7", "B0"),
        ("batch", "r1", [], [("classes", "3"), ("note", "x" * 500)]),
        ("batch", "r1", [("loss", 1.0, 1), ("Dose _uM__accuracy", 0.25, 1)], []),
        ("batch", "r1", [("loss", 0.5, 2), ("Dose _uM__accuracy", 0.5, 2)], []),
        ("terminated", "r1", "FINISHED"),
        ("client", "http://tracking:5000"),
        ("update", "r1", "RUNNING"),
        ("batch", "r1", [("loss", 1 / 3, 3), ("Dose _uM__accuracy", 0.75, 3)], []),
        ("terminated", "r1", "FINISHED"),
    ]


def test_a_folder_becomes_a_database(tmp_path: Path, calls: list[Any]) -> None:
    folder = tmp_path / "my runs"
    follow(tmp_path, str(folder), 0, 1)
    assert calls[0] == ("client", f"sqlite:///{folder}/mlflow.db")
    assert calls[1] == ("experiment", "dp_assets", (folder / "artifacts").as_uri())
    assert folder.is_dir()


def test_an_interrupted_run_has_failed(tmp_path: Path, calls: list[Any]) -> None:
    log = TrainingLog([MlflowLog("http://tracking:5000")], tmp_path)
    with pytest.raises(KeyboardInterrupt), log.following("B0", {}, []):
        raise KeyboardInterrupt
    assert calls[-1] == ("terminated", "r1", "FAILED")


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigurationError, match=r"mlflow cannot be imported[\s\S]*dp-assets\[mlflow\]"):
        MlflowLog("http://tracking:5000")


def test_real_client(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    follow(tmp_path, str(tmp_path / "runs"), 0, 2)
    follow(tmp_path, str(tmp_path / "runs"), 2, 3)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    experiment = client.get_experiment_by_name("dp_assets")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["classes"] == "3"
    assert run.info.status == "FINISHED"
    history = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "loss")]
    assert sorted(history) == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
