"""The one partition dimension: plates, registered by `image_index`."""

from collections.abc import Sequence

import dagster as dg
from sqlalchemy.exc import IntegrityError

PLATES = "plates"
plates = dg.DynamicPartitionsDefinition(name=PLATES)


def register_plates(instance: dg.DagsterInstance, names: Sequence[str]) -> None:
    """Register plates; those that are registered already, even this very moment by another run, stay so."""
    try:
        instance.add_dynamic_partitions(PLATES, names)
    except IntegrityError:
        # Another run registered some between Dagster's look and its writing; now it sees them.
        instance.add_dynamic_partitions(PLATES, names)
