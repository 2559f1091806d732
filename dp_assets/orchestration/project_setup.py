"""Making the folders of a project (handbook 2.1) and its Dagster instance."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from dp_assets.storage.layout import ProjectLayout

INSTANCE_FILE = "dagster.yaml"
HANDBOOK_FOLDERS = (
    "inputs/config",
    "inputs/images",
    "inputs/locations",
    "inputs/metadata",
    "inputs/pretrained",
    "outputs/compressed/images",
    "outputs/compressed/metadata",
    "outputs/intensities",
    "outputs/results/checkpoint",
    "outputs/results/features",
    "outputs/results/logs",
    "outputs/results/summaries",
    "outputs/single_cells",
)
INSTANCE = """\
# The Dagster instance of this project. One per project: plate names are partitions of the whole instance.
telemetry:
  enabled: false
nux:
  enabled: false
# What the program warns of while it works goes into the log of the run.
python_logs:
  managed_python_loggers: [dp_assets]
concurrency:
  pools:
    # Assets in pool `gpu` (training, features) run one at a time unless a pool limit says otherwise:
    # dagster instance concurrency set gpu 2
    default_limit: 1
    granularity: op
  runs:
    max_concurrent_runs: 2
    # Never two runs of the queue on one plate: the second waits for the first.
    tag_concurrency_limits:
      - key: dagster/partition
        value:
          applyLimitPerUniqueValue: true
        limit: 1
run_queue:
  # While the code server is being restarted, runs wait in the queue instead of failing.
  max_user_code_failure_retries: 40
  user_code_failure_retry_delay: 15
# Notices runs whose process was killed.
run_launcher:
  module: dp_assets.orchestration.launcher
  class: CheckedLocalRunLauncher
run_monitoring:
  enabled: true
  poll_interval_seconds: 15
  start_timeout_seconds: 120
  cancel_timeout_seconds: 180
  # Places in pools that killed runs left behind.
  free_slots_after_run_end_seconds: 30
# Killed runs are started again, and go on where they were. What failed by itself (by data, settings) is not.
run_retries:
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false
"""
# What INSTANCE has for runs that are killed or meet; instances of earlier versions lack it.
NEEDED = (
    "concurrency.runs.tag_concurrency_limits",
    "run_queue.max_user_code_failure_retries",
    "run_launcher",
    "run_monitoring.free_slots_after_run_end_seconds",
    "run_retries",
)


def missing_settings(home: Path) -> list[str]:
    """The settings (dotted keys) that a `dagster.yaml` lacks, without which killed runs are not looked after.

    Other values than the shipped ones are somebody's choice, and so is another storage than SQLite.
    """
    file = home / INSTANCE_FILE
    found = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else None
    own = found if isinstance(found, dict) else {}
    if any(key.endswith("storage") for key in own):
        return []
    return [name for name in NEEDED if not _has(own, name.split("."))]


def _has(settings: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(settings, dict) or key not in settings:
            return False
        settings = settings[key]
    return True


def set_up_project(root: Path) -> list[Path]:
    """Make what is missing of a project's folders and instance; nothing that is there is changed.

    Returns
    -------
    The paths that were made.
    """
    made = []
    for name in HANDBOOK_FOLDERS:
        folder = root / name
        if not folder.exists():
            folder.mkdir(parents=True)
            made.append(folder)
    instance = ProjectLayout.of(root).dagster_home / INSTANCE_FILE
    if not instance.exists():
        instance.parent.mkdir(parents=True, exist_ok=True)
        instance.write_text(INSTANCE, encoding="utf-8")
        made.append(instance)
    return made
