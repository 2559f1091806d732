"""Staleness across edges that Dagster leaves out: results made of a hundred plates or more."""

from collections.abc import Iterator, Sequence

import dagster as dg
from dagster import AssetRecordsFilter, DagsterInstance
from dagster._core.definitions.data_version import (
    INPUT_EVENT_POINTER_TAG_PREFIX,
    SKIP_PARTITION_DATA_VERSION_DEPENDENCY_THRESHOLD,
    extract_data_version_from_entry,
)
from dagster._core.event_api import EventLogRecord

PAGE = 1000
PLATES_ASKED_FOR = 100
NOTHING_YET = "NULL"
"""What Dagster records where a parent had no event."""


def is_wide(plates: int) -> bool:
    """Whether Dagster would not look at an edge from so many partitions to an asset without any."""
    return plates >= SKIP_PARTITION_DATA_VERSION_DEPENDENCY_THRESHOLD


def changed_plates(instance: DagsterInstance, child: dg.AssetKey, parent: dg.AssetKey) -> list[str]:
    """The plates of `parent` that are new or of another data version since `child` was made, by name.

    A materialization records which event of each parent was the latest when its inputs were read. What came
    after it is compared with what was there before, a hundred plates at a time; plates without an event since
    cost nothing.

    Parameters
    ----------
    child : an asset without partitions that was made.
    parent : what it is made of, plate by plate.
    """
    seen = _last_seen(instance, child, parent)
    if seen is None:
        return []
    latest: dict[str, str | None] = {}
    for record in _pages(instance, AssetRecordsFilter(asset_key=parent, after_storage_id=seen), newest=False):
        if record.partition_key:
            latest[record.partition_key] = _version(record)
    before = _versions_before(instance, parent, sorted(latest), seen)
    return sorted(plate for plate, version in latest.items() if version != before.get(plate))


def _last_seen(instance: DagsterInstance, child: dg.AssetKey, parent: dg.AssetKey) -> int | None:
    """The latest event of the parent when the child was made, 0 for none; None when that is not recorded."""
    event = instance.get_latest_materialization_event(child)
    made = event.asset_materialization if event is not None else None
    tags = (made.tags or {}) if made is not None else {}
    pointer = tags.get(f"{INPUT_EVENT_POINTER_TAG_PREFIX}/{parent.to_user_string()}")
    if pointer == NOTHING_YET:
        return 0
    return int(pointer) if pointer and pointer.isdigit() else None


def _versions_before(
    instance: DagsterInstance, parent: dg.AssetKey, plates: Sequence[str], event: int
) -> dict[str, str | None]:
    """Plate -> the data version that it had at an event; without those that were not there."""
    found: dict[str, str | None] = {}
    for start in range(0, len(plates), PLATES_ASKED_FOR):
        wanted = plates[start : start + PLATES_ASKED_FOR]
        before = AssetRecordsFilter(asset_key=parent, asset_partitions=wanted, before_storage_id=event + 1)
        missing = set(wanted)
        for record in _pages(instance, before, newest=True):
            if record.partition_key in missing:
                found[record.partition_key] = _version(record)
                missing.discard(record.partition_key)
            if not missing:
                break
    return found


def _pages(
    instance: DagsterInstance, wanted: AssetRecordsFilter, *, newest: bool
) -> Iterator[EventLogRecord]:
    """The materializations that a filter lets through, from the newest or from the oldest."""
    cursor = None
    while True:
        page = instance.fetch_materializations(wanted, limit=PAGE, cursor=cursor, ascending=not newest)
        yield from page.records
        if not page.has_more:
            return
        cursor = page.cursor


def _version(record: EventLogRecord) -> str | None:
    version = extract_data_version_from_entry(record.event_log_entry)
    return version.value if version is not None else None
