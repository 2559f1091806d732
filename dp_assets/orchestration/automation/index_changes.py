"""Whether the image index is registered as it is: by its content, and by the plates of the instance."""

from typing import Literal

import dagster as dg
import pyarrow as pa
from dagster import DagsterInstance

from dp_assets.orchestration.partitions import PLATES
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.fingerprints import fingerprint_table
from dp_assets.storage.published import published_fingerprint
from dp_assets.storage.schemas import PLATE

INDEX = dg.AssetKey("image_index")


def index_change(index: pa.Table, project: ProjectResource) -> tuple[Literal["missing", "stale"], str] | None:
    """Why the published table `image_index` is not that of the index file; None when it is."""
    published = published_fingerprint(project.path(tuple(INDEX.path), None, ".parquet"))
    if published is None:
        return "missing", "was never made"
    return ("stale", "the image index has changed") if published != fingerprint_table(index) else None


def is_registered(instance: DagsterInstance, index: pa.Table, project: ProjectResource) -> bool:
    """Whether `image_index` was made of this index, and every plate in it is known to the instance."""
    known = set(instance.get_dynamic_partitions(PLATES))
    return known.issuperset(index[PLATE].to_pylist()) and index_change(index, project) is None
