"""Services follow a training through failures and resumes, and never stop it."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dp_assets.training.resume_state import EpochLog
from dp_assets.training.training_log import TrainingLog, flat


class Recorder:
    """A service in memory; what was not delivered by `end` is lost where it delivers at the end."""

    name = "Recorder"

    def __init__(self, *, delivers_at_end: bool = False, fails_at: str = "") -> None:
        self.delivers_at_end = delivers_at_end
        self.fails_at = fails_at
        self.calls: list[Any] = []

    def begin(self, run: str | None, title: str, parameters: Mapping[str, Any]) -> str:
        self.calls.append(("begin", run, title, dict(parameters)))
        self._maybe_fail("begin")
        return run or "run-1"

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        self.calls.append((epoch, dict(values)))
        self._maybe_fail(f"epoch {epoch}")

    def end(self, finished: bool) -> None:
        self.calls.append(("end", finished))
        self._maybe_fail("end")

    def _maybe_fail(self, place: str) -> None:
        if self.fails_at == place:
            raise ConnectionError("no route to host")


ENTRIES: list[EpochLog] = [
    {"epoch": n, "loss": 1 / n, "val_loss": None if n == 1 else 0.5, "learning_rate": 0.1} for n in (1, 2, 3)
]


def follow(folder: Path, *services: Recorder, begin: int = 0, end: int = 3) -> None:
    """Train from epoch `begin` to epoch `end`."""
    log = TrainingLog(services, folder)
    with log.following("B0", {"seed": 1}, ENTRIES[:begin]):
        for entry in ENTRIES[begin:end]:
            log.add(entry)


def epochs(service: Recorder) -> list[int]:
    return [call[0] for call in service.calls if isinstance(call[0], int)]


def test_one_run_from_begin_to_end(tmp_path: Path) -> None:
    service = Recorder()
    follow(tmp_path, service)
    assert service.calls == [
        ("begin", None, "B0", {"seed": 1}),
        (1, {"loss": 1.0, "learning_rate": 0.1}),
        (2, {"loss": 0.5, "val_loss": 0.5, "learning_rate": 0.1}),
        (3, {"loss": 1 / 3, "val_loss": 0.5, "learning_rate": 0.1}),
        ("end", True),
    ]
    assert json.loads((tmp_path / "services.json").read_text()) == {"Recorder": ["run-1", 3]}


def test_a_resumed_training_goes_on_with_its_run_and_misses_nothing(tmp_path: Path) -> None:
    follow(tmp_path, Recorder(), end=1)
    # killed after epoch 2 was finished, before it was delivered
    resumed = Recorder()
    follow(tmp_path, resumed, begin=2)
    assert resumed.calls[0][1] == "run-1"
    assert epochs(resumed) == [2, 3]


def test_what_was_not_delivered_at_the_end_is_delivered_again(tmp_path: Path) -> None:
    killed = Recorder(delivers_at_end=True)
    log = TrainingLog([killed], tmp_path)
    following = log.following("B0", {}, [])
    following.__enter__()
    log.add(ENTRIES[0])
    resumed = Recorder(delivers_at_end=True)
    follow(tmp_path, resumed, begin=1)
    assert epochs(resumed) == [1, 2, 3]
    more = Recorder(delivers_at_end=True)
    follow(tmp_path, more, begin=3)
    assert epochs(more) == []


@pytest.mark.parametrize(("place", "known"), [("begin", []), ("epoch 2", [1, 2]), ("end", [1, 2, 3])])
def test_a_service_that_fails_is_left_out_and_mentioned_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str, known: list[int]
) -> None:
    failing, healthy = Recorder(fails_at=place), Recorder()
    healthy.name = "Healthy"
    with caplog.at_level(logging.WARNING):
        follow(tmp_path, failing, healthy)
    assert epochs(failing) == known
    assert epochs(healthy) == [1, 2, 3]
    assert [record.message.split(" and ")[0] for record in caplog.records] == ["Recorder does not answer"]
    assert "ConnectionError: no route to host" in caplog.text


def test_an_interrupted_training_is_marked(tmp_path: Path) -> None:
    service = Recorder()
    log = TrainingLog([service], tmp_path)
    with pytest.raises(KeyboardInterrupt), log.following("B0", {}, []):
        raise KeyboardInterrupt
    assert service.calls[-1] == ("end", False)


def test_a_damaged_record_begins_a_new_run(tmp_path: Path) -> None:
    (tmp_path / "services.json").write_text("{")
    service = Recorder()
    follow(tmp_path, service, begin=1)
    assert service.calls[0][1] is None
    assert epochs(service) == [1, 2, 3]


def test_parameters_are_flat() -> None:
    assert flat({"a": {"b": {"c": 1}, "d": None}, "e": ["x", 2], "f": True}) == {
        "a.b.c": 1,
        "e": '["x", 2]',
        "f": True,
    }
