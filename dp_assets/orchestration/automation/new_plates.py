"""The sensor that notices new plates: in the image index, and in the folder where parts of it arrive."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import dagster as dg
from filelock import Timeout

from dp_assets.config.automation import AutomationSettings
from dp_assets.config.errors import ProjectError
from dp_assets.orchestration.automation.ended_runs import Outcome, outcome_of
from dp_assets.orchestration.automation.index_changes import is_registered
from dp_assets.orchestration.automation.names import NEW_PLATES, STARTED_BY
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.file_locks import SystemLock
from dp_assets.storage.fingerprints import fingerprint_bytes
from dp_assets.storage.index_file import INDEX_NAMES, IndexLocation, find_index, read_index
from dp_assets.storage.index_parts import (
    TAKEN,
    TakenPart,
    explain,
    forget_problems,
    take_part,
    waiting_parts,
)

LOCK = ".index.lock"
MOST_ATTEMPTS = 3
UNCHANGED = "the image index has not changed"


@dataclass(frozen=True)
class Seen:
    """What the sensor remembers from one tick to the next.

    Attributes
    ----------
    index : fingerprint of the index that a run was requested for.
    number : how many runs were requested; part of their keys, so that an old content can come back.
    attempts : how often a run was requested for this content.
    parts : fingerprints of the parts in the folder, by name; a part is taken when it has not changed since.
    told : problems of parts that were passed on already, by name.
    """

    index: str = ""
    number: int = 0
    attempts: int = 0
    parts: dict[str, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, cursor: str | None) -> "Seen":
        """What a cursor says; nothing, when it is of another version of this program."""
        try:
            return cls(**json.loads(cursor or "{}"))
        except (TypeError, ValueError):
            return cls()

    def cursor(self) -> str:
        """As a cursor."""
        return json.dumps(self.__dict__, sort_keys=True)

    @property
    def run_key(self) -> str:
        """The key of the run that was requested last."""
        return f"{self.number}-{self.index}"


@dataclass(frozen=True)
class Arrivals:
    """What became of the parts in the watched folder.

    Attributes
    ----------
    taken : parts that are in the index now.
    refused : part -> why it is not.
    waiting : parts that were not there at the last tick, or have changed since.
    """

    taken: tuple[TakenPart, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()


def new_plates_sensor(
    project: ProjectResource,
    settings: AutomationSettings,
    channels: Sequence[str],
    tell: Callable[[str, str], list[str]],
) -> dg.SensorDefinition:
    """The sensor that requests a run of `image_index` when the index has another content.

    Parameters
    ----------
    tell : called once with a part that is not taken and why; returns what could not be sent.
    """

    @dg.sensor(
        name=NEW_PLATES,
        job_name="index",
        minimum_interval_seconds=settings.every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Looks at the content of the image index"
            + (f" and takes its parts out of {settings.watch}" if settings.watch else "")
            + ". When the index has changed, a run of image_index registers the new plates."
        ),
    )
    def new_plates(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        seen = Seen.of(context.cursor)
        arrived = Arrivals()
        if settings.watch:
            seen, arrived = _arrivals(context, seen, project, settings.watch, channels, tell)
        seen, request, why_not = _request(context, seen, project, channels)
        notes = [
            *(f"took {part.name} ({part.rows} new rows)" for part in arrived.taken),
            *(f"{name} is not taken: {why}" for name, why in arrived.refused.items()),
            *(f"{name} is looked at again" for name in arrived.waiting),
        ]
        for part in arrived.taken:
            context.log.info(f"took {part.name} ({part.rows} new rows)")
        return dg.SensorResult(
            run_requests=[request] if request else [],
            skip_reason=None if request else "; ".join([why_not, *notes]),
            cursor=seen.cursor(),
        )

    return new_plates


def _arrivals(
    context: dg.SensorEvaluationContext,
    seen: Seen,
    project: ProjectResource,
    watch: str,
    channels: Sequence[str],
    tell: Callable[[str, str], list[str]],
) -> tuple[Seen, Arrivals]:
    layout = project.layout
    folder = layout.root / watch
    forget_problems(folder)
    parts = waiting_parts(folder)
    if not parts:
        return replace(seen, parts={}, told={}), Arrivals()
    settled = [part for part in parts if seen.parts.get(part.path.name) == part.fingerprint]
    taken: list[TakenPart] = []
    refused: dict[str, str] = {}
    try:
        with SystemLock(layout.metadata / LOCK, timeout=0):
            index = index_to_extend(project)
            if index.path.exists():
                read_index(index, channels)
            for part in settled:
                try:
                    taken.append(take_part(part, index, channels, layout.metadata / TAKEN))
                except ProjectError as error:
                    explain(part, error)
                    refused[part.path.name] = str(error)
    except Timeout:
        context.log.info("another process is extending the index; parts wait")
    except ProjectError as error:
        context.log.warning(f"parts wait, since the index itself cannot be used: {error}")
    told = {name: why for name, why in seen.told.items() if name in refused}
    for name, why in refused.items():
        if told.get(name) != why:
            for problem in tell(f"{watch}/{name}", why):
                context.log.warning(problem)
            told[name] = why
    left = {part.path.name: part.fingerprint for part in parts if part.path.exists()}
    waiting = tuple(name for name in left if name not in refused)
    return replace(seen, parts=left, told=told), Arrivals(tuple(taken), refused, waiting)


def index_to_extend(project: ProjectResource) -> IndexLocation:
    """The index that parts are merged into; `index.csv` when there is none. ImageIndexError for two."""
    layout = project.layout
    path = layout.index
    if path is None:
        there = any((layout.metadata / name).exists() for name in INDEX_NAMES)
        path = find_index(layout.metadata) if there else layout.metadata / INDEX_NAMES[0]
    return IndexLocation(path, layout.images, tuple(project.image_roots))


def _request(
    context: dg.SensorEvaluationContext, seen: Seen, project: ProjectResource, channels: Sequence[str]
) -> tuple[Seen, dg.RunRequest | None, str]:
    """The run to request, or why there is none."""
    try:
        location = project.index_location()
        if not location.path.exists():
            return seen, None, f"there is no image index yet at {location.path}"
        content = fingerprint_bytes(location.path.read_bytes())
        again = content == seen.index
        outcome = outcome_of(context.instance, seen.run_key, NEW_PLATES) if again else Outcome.UNKNOWN
        if not outcome.says_nothing:
            return seen, None, UNCHANGED
        index = read_index(location, channels)
        # The run may never have been made, or its records may be gone: what is registered tells.
        if again and outcome is Outcome.UNKNOWN and is_registered(context.instance, index, project):
            return seen, None, UNCHANGED
    except (ProjectError, OSError) as error:
        return seen, None, f"the image index cannot be used: {error}"
    if again and seen.attempts >= MOST_ATTEMPTS:
        why = f"image_index was requested {MOST_ATTEMPTS} times, the last time in vain: {outcome.value}"
        return seen, None, f"{why}; materialize it by hand"
    seen = replace(seen, index=content, number=seen.number + 1, attempts=seen.attempts + 1 if again else 1)
    return seen, dg.RunRequest(run_key=seen.run_key, tags={STARTED_BY: NEW_PLATES}), ""
