"""Whether a soak came out as it should: the files of the calm run, and an instance that tells the truth."""

import json
import urllib.request
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
