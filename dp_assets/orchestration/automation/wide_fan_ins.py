"""Staleness across edges that Dagster leaves out: results made of a hundred plates or more."""

import dagster as dg
from dagster import AssetRecordsFilter, DagsterInstance
from dagster._core.definitions.data_version import (
    INPUT_EVENT_POINTER_TAG_PREFIX,
    SKIP_PARTITION_DATA_VERSION_DEPENDENCY_THRESHOLD,
    extract_data_version_from_entry,
)
from dagster._core.event_api import EventLogRecord

PAGE = 1000


def is_wide(plates: int) -> bool:
    """Whether Dagster would not look at an edge from so many partitions to an asset without any."""
    return plates >= SKIP_PARTITION_DATA_VERSION_DEPENDENCY_THRESHOLD


def changed_plates(instance: DagsterInstance, child: dg.AssetKey, parent: dg.AssetKey) -> list[str]:
    """The plates of `parent` that are new or of another data version since `child` was made, by name.

    A materialization records which event of each parent was the latest when its inputs were read. What came
    after it is compared with what was there before; the cost is that of the events since, not of all plates.

    Parameters
    ----------
    child : an asset without partitions that was made.
    parent : what it is made of, plate by plate.
    """
    seen = _last_seen(instance, child, parent)
    if seen is None:
        return []
    latest: dict[str, EventLogRecord] = {}
    cursor = None
    while True:
        after = AssetRecordsFilter(asset_key=parent, after_storage_id=seen)
        page = instance.fetch_materializations(after, limit=PAGE, cursor=cursor, ascending=True)
        latest.update({record.partition_key or "": record for record in page.records})
        if not page.has_more:
            break
        cursor = page.cursor
    return sorted(
        plate
        for plate, record in latest.items()
        if plate and _version(record) != _version_before(instance, parent, plate, seen)
    )


def _last_seen(instance: DagsterInstance, child: dg.AssetKey, parent: dg.AssetKey) -> int | None:
    """The latest event of the parent when the child was made; None when that is not recorded."""
    event = instance.get_latest_materialization_event(child)
    made = event.asset_materialization if event is not None else None
    pointer = (
        (made.tags or {}).get(f"{INPUT_EVENT_POINTER_TAG_PREFIX}/{parent.to_user_string()}") if made else None
    )
    return int(pointer) if pointer and pointer.isdigit() else None


def _version_before(instance: DagsterInstance, parent: dg.AssetKey, plate: str, event: int) -> str | None:
    """The data version that a plate had at an event; None when it was not there."""
    before = AssetRecordsFilter(asset_key=parent, asset_partitions=[plate], before_storage_id=event + 1)
    records = instance.fetch_materializations(before, limit=1).records
    return _version(records[0]) if records else None


def _version(record: EventLogRecord) -> str | None:
    version = extract_data_version_from_entry(record.event_log_entry)
    return version.value if version is not None else None
