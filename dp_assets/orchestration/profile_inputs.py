"""What the assets over all plates start from: every plate's profiles, with what each row is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import pyarrow as pa

from dp_assets.config.experiment import Experiment
from dp_assets.config.protocol import Level, ProfileProtocol
from dp_assets.interchange.annotation_tables import JoinFacts, join_annotations, read_annotation
from dp_assets.orchestration.io_managers import FAN_IN
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.profiling.all_plates import join_plates
from dp_assets.profiling.roles import with_roles
from dp_assets.storage.fingerprints import fingerprint_bytes
from dp_assets.storage.layout import ProjectLayout
from dp_assets.storage.tables import read_provenance

# Levels of the raw profiles and their assets.
RAW = {"site": "site_profiles", "well": "well_profiles"}


@dataclass(frozen=True)
class RawProfiles:
    """All plates' profiles before normalization, with their roles.

    Attributes
    ----------
    table : `Metadata_*` strings with the role columns, float32 features.
    left_out : reason -> rows that are not in the table; or features, where the reason says so.
    joined : what the annotation tables brought.
    absent : plates of the image index that have no such profiles yet.
    """

    table: pa.Table
    left_out: dict[str, int]
    joined: JoinFacts
    absent: tuple[str, ...] = ()


def raw_input(experiment: Experiment, level: Level) -> dg.AssetIn:
    """The raw profiles of one level as an input: of all plates that have them, or of the external table."""
    key = [experiment.name, RAW[level]]
    if experiment.has_features:
        return dg.AssetIn(key)
    return dg.AssetIn(key, metadata=FAN_IN, partition_mapping=dg.AllPartitionMapping())


def raw_profiles(
    loaded: pa.Table | Mapping[str, pa.Table],
    level: Level,
    protocol: ProfileProtocol,
    project: ProjectResource,
    experiment: str,
) -> RawProfiles:
    """Join the plates that the index lists, add the annotation tables, and say what each row is.

    Parameters
    ----------
    loaded : the profiles of all plates; or plate -> profiles, of the plates that have them.
    experiment : whose profiles these are, for messages.

    Raises
    ------
    ProjectError : no plate is there, plates do not go together, or columns that are asked for are missing.
    """
    if isinstance(loaded, pa.Table):
        raw = _described(loaded, protocol, project)
        # What the reader of an external table had to leave out belongs to the same account.
        dropped = read_provenance(loaded.schema).get("dropped", {})
        return replace(raw, left_out={**dropped, **raw.left_out})
    raw = _described(join_plates(project.in_index(loaded), f"{experiment}/{RAW[level]}"), protocol, project)
    return replace(raw, absent=tuple(sorted((project.listed_plates() or set()) - set(loaded))))


def described_sites(
    annotations: Mapping[str, pa.Table], protocol: ProfileProtocol, project: ProjectResource
) -> pa.Table:
    """What the index and the annotation tables say of every site, with the role columns; no features."""
    table = join_plates(project.in_index(annotations), "plate_annotations")
    return _described(table, protocol, project).table


def _described(table: pa.Table, protocol: ProfileProtocol, project: ProjectResource) -> RawProfiles:
    folder = project.layout.metadata
    joined = join_annotations(table, [read_annotation(folder / name) for name in protocol.annotations])
    roles = with_roles(joined.table, protocol.columns, labelled_only=protocol.labelled_only)
    return RawProfiles(roles.table, roles.left_out, joined.facts)


def annotation_digest(protocol: ProfileProtocol, project_root: str) -> str:
    """A digest of the annotation tables' content; of a table that is not there, its name."""
    folder = ProjectLayout.of(Path(project_root)).metadata
    parts = []
    for name in protocol.annotations:
        path = folder / name
        parts.append(fingerprint_bytes(path.read_bytes()) if path.is_file() else name)
    return "-".join(parts)
