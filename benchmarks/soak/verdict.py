"""Whether a soak came out as it should: the files of the calm run, and an instance that tells the truth."""

import hashlib
import json
import urllib.request
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, DagsterRunStatus

IN_PROGRESS = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)
_RUNS = """{ runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED, CANCELING]}) {
  ... on Runs { results { runId status } } } }"""


def digests(outputs: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of what a published file says, the time of its making left out."""
    found = {}
    for path in sorted(outputs.rglob("*")):
        name = path.relative_to(outputs).as_posix()
        if path.is_file() and not name.endswith(TIMES_ONLY) and "events.out" not in name:
            found[name] = hashlib.sha256(_timeless(path)).hexdigest()
    return found


# The seconds of every epoch, and the manifests that hold them; TensorBoard's files are named by time.
TIMES_ONLY = ("trained_model/log.csv", "trained_model/MANIFEST.json", "trained_model/model_card.json")


def _timeless(path: Path) -> bytes:
    """The bytes of a file; of archives those of their members, but for the members that hold times."""
    if path.suffix == ".keras":
        return _members(path, without="metadata.json")
    if path.name == "resume.npz":
        return _members(path, without="progress.npy")
    return path.read_bytes()


def _members(path: Path, *, without: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return b"".join(archive.read(name) for name in sorted(archive.namelist()) if name != without)


def differences(calm: dict[str, str], soaked: dict[str, str]) -> list[str]:
    """Files that are missing, too many, or other than those of the calm run, each with which it is."""
    found = [f"missing: {name}" for name in calm if name not in soaked]
    found += [f"not in the calm run: {name}" for name in soaked if name not in calm]
    found += [f"differs: {name}" for name in calm if name in soaked and calm[name] != soaked[name]]
    return found


@dataclass(frozen=True)
class InstanceState:
    """What the instance says at the end.

    Attributes
    ----------
    runs : status -> how many.
    in_progress : ids of runs said to be going on.
    retried : runs that are retries of others.
    slots : places in pools that are claimed.
    """

    runs: dict[str, int]
    in_progress: list[str]
    retried: int
    slots: int


def instance_state(home: Path) -> InstanceState:
    """Read the instance."""
    with DagsterInstance.from_config(str(home)) as instance:
        runs = instance.get_runs()
        storage = instance.event_log_storage
        claimed = sum(
            len(storage.get_concurrency_info(key).claimed_slots) for key in storage.get_concurrency_keys()
        )
    return InstanceState(
        runs=dict(Counter(run.status.value for run in runs)),
        in_progress=[run.run_id for run in runs if run.status in IN_PROGRESS],
        retried=sum(1 for run in runs if run.parent_run_id is not None),
        slots=claimed,
    )


def shown_in_progress(port: int) -> list[str]:
    """The runs that the UI shows as going on or waiting. OSError while the UI does not answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps({"query": _RUNS}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        data: dict[str, Any] = json.load(answer)
    return [run["runId"] for run in data["data"]["runsOrError"]["results"]]
