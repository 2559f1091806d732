"""What a backfill would make, and why: missing, failed or stale, asset by asset and plate by plate."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import dagster as dg
import pyarrow as pa
from dagster import DagsterInstance

from dp_assets.config.project import Project
from dp_assets.orchestration.automation.ended_runs import failed_steps, found_another_run
from dp_assets.orchestration.automation.source_changes import SOURCES, changed_sources
from dp_assets.orchestration.automation.staleness import AssetGraph, Staleness
from dp_assets.orchestration.jobs import PLATE_STAGES
from dp_assets.orchestration.lanes import ProjectGraph
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.stage_runner import STAGES, failure_message, stage_keys

Kind = Literal["missing", "failed", "stale"]
KINDS: tuple[Kind, ...] = ("missing", "failed", "stale")
Made = tuple[dg.AssetKey, str | None]


@dataclass(frozen=True)
class Wanted:
    """One result to be made.

    Attributes
    ----------
    stage : the job that makes it.
    key, plate : of the result; plate is None without partitions.
    kind, why : the reason.
    """

    stage: str
    key: dg.AssetKey
    plate: str | None
    kind: Kind
    why: str

    @property
    def made(self) -> Made:
        """Asset and plate."""
        return self.key, self.plate


@dataclass
class Planner:
    """Finds what is to be made.

    Attributes
    ----------
    project, graph : as they are configured now.
    assets : the graph as Dagster resolves it.
    resource : where things lie.
    kinds : which reasons count.
    experiments : names of lanes; empty for all.
    index : the image index as it is now.
    lost : ids of runs that are said to be going on but whose process is gone; they count as killed.
    """

    project: Project
    graph: ProjectGraph
    assets: AssetGraph
    resource: ProjectResource
    kinds: Collection[Kind]
    experiments: Sequence[str]
    index: pa.Table
    lost: Collection[str] = ()
    _sources: dict[str, Mapping[dg.AssetKey, str]] = field(default_factory=dict)

    def stages(self) -> list[str]:
        """The stages after the index that have assets, in the order of work."""
        return [stage for stage in STAGES[1:] if stage_keys(self.graph, stage, self.experiments)]

    def look_at_files(self, plate: str) -> None:
        """Compare the plate's files with what is published of them; needed before `wanted` can say stale."""
        reference = self.project.reference
        images = reference.sections.images.settings if reference is not None else None
        if images is not None and plate not in self._sources:
            self._sources[plate] = changed_sources(plate, self.index, images, self.resource)

    def wanted(
        self, instance: DagsterInstance, stage: str, plate: str | None, before: Collection[Made] = ()
    ) -> list[Wanted]:
        """What a stage has to make of a plate, in order.

        Parameters
        ----------
        before : what is made before, so that what is made of it will be stale.
        """
        staleness = Staleness(instance, self.assets)
        made = set(before)
        found = []
        for key in staleness.in_order(stage_keys(self.graph, stage, self.experiments)):
            reason = self._reason(instance, staleness, key, plate, made)
            if reason is not None:
                found.append(Wanted(stage, key, plate, *reason))
                made.add((key, plate))
        return found

    def _reason(
        self,
        instance: DagsterInstance,
        staleness: Staleness,
        key: dg.AssetKey,
        plate: str | None,
        made: set[Made],
    ) -> tuple[Kind, str] | None:
        is_missing = staleness.is_missing(key, plate)
        why_stale = None if is_missing else self._why_stale(staleness, key, plate, made)
        if not is_missing and why_stale is None:
            return None
        if "failed" in self.kinds:
            message = failure_of(instance, key, plate, self.lost)
            if message is not None:
                return "failed", message
        if is_missing:
            return ("missing", "was never made") if "missing" in self.kinds else None
        return ("stale", why_stale or "") if "stale" in self.kinds else None

    def _why_stale(
        self, staleness: Staleness, key: dg.AssetKey, plate: str | None, made: set[Made]
    ) -> str | None:
        if key.to_user_string() in SOURCES and plate is not None:
            # Content decides: an index with another row is no other plate.
            changed = self._sources.get(plate, {}).get(key)
            if changed is None and staleness.code_has_changed(key, plate):
                changed = "has a new code version"
            return changed
        reasons = staleness.reasons(key, plate)
        if reasons:
            return "; ".join(dict.fromkeys(reasons))
        names = {made_key for made_key, made_plate in made if plate is None or made_plate in (None, plate)}
        parents = [parent.to_user_string() for parent in staleness.parents(key) if parent in names]
        return f"made of {', '.join(parents)}" if parents else None


def failure_of(
    instance: DagsterInstance, key: dg.AssetKey, plate: str | None, lost: Collection[str] = ()
) -> str | None:
    """Why the last run that was to make a result did not; None when it did, or is still at it.

    Parameters
    ----------
    lost : ids of runs that have ended, although their records do not say so yet.
    """
    planned = instance.event_log_storage.get_latest_planned_materialization_info(key, plate)
    run = instance.get_run_by_id(planned.run_id) if planned is not None else None
    if run is None:
        return None
    ended = run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
    if not ended and run.run_id not in lost:
        return None
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    if any(entry.dagster_event and entry.dagster_event.asset_key == key for entry in events):
        return None
    failures = [
        entry.dagster_event
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        if entry.dagster_event is not None
    ]
    with_reason = failed_steps(instance, run.run_id)
    if not with_reason:
        met = any(found_another_run(event) for event in failures)
        return "another run was at work on it" if met else "its run was killed"
    first = next(event for event in failures if event.step_key in with_reason)
    name = (first.step_key or "").replace("__", "/")
    message = failure_message(first).splitlines()[0]
    return message if name == key.to_user_string() else f"{name} failed: {message}"


def dry_plan(
    planner: Planner, instance: DagsterInstance, plates: Sequence[str], *, only_plates: bool
) -> list[Wanted]:
    """Everything that would be made as things stand, including what will be stale because of it.

    Parameters
    ----------
    only_plates : leave out what is made of all plates.
    """
    found: list[Wanted] = []
    for stage in planner.stages():
        before = [wanted.made for wanted in found]
        if stage in PLATE_STAGES:
            for plate in plates:
                found += planner.wanted(instance, stage, plate, before)
        elif not only_plates:
            found += planner.wanted(instance, stage, None, before)
    return found
