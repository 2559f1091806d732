"""What the doctor finds of profiles and scores: annotation tables, feature files, columns and controls."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from dp_assets.config.errors import Problem, ProjectError
from dp_assets.config.experiment import Experiment
from dp_assets.interchange.annotation_tables import AnnotationTable, join_annotations, read_annotation
from dp_assets.interchange.external_profiles import read_external
from dp_assets.interchange.feature_files import find_feature_files
from dp_assets.interchange.table_source import open_table_source
from dp_assets.orchestration.doctor_roles import examine_roles
from dp_assets.orchestration.examination import Examination
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.user_errors import placed
from dp_assets.profiling.all_plates import join_plates
from dp_assets.profiling.roles import with_roles
from dp_assets.storage.plate_tables import annotate_plate
from dp_assets.storage.schemas import PLATE


def examine_profiles(
    experiments: Sequence[Experiment], resource: ProjectResource, sites: pa.Table | None, *, read: bool
) -> Examination:
    """What keeps experiments from being profiled and scored.

    Parameters
    ----------
    experiments : those that can be run. Those that say nothing of treatments have no scores to look into.
    sites : what the image index says of every site (`site_annotations`); None where it cannot be used: then
        experiments on images are left out.
    read : read the feature tables of other programs; otherwise only look into their headers.
    """
    found = Examination("profiles and scores")
    scored = [experiment for experiment in experiments if experiment.is_scored]
    for experiment in scored:
        with _problems_of(experiment, found):
            if experiment.has_features:
                _examine_tables(found, experiment, resource, read=read)
            elif sites is not None:
                _examine_rows(found, experiment, sites, _annotation_tables(experiment, resource))
    found.summary = f"of {len(scored)} experiments"
    return found


def site_annotations(index: pa.Table, channels: Sequence[str]) -> pa.Table:
    """What the index says of the sites of all plates, with the columns that profiles get.

    Raises
    ------
    ImageIndexError : two columns mean the same annotation, and their values differ.
    """
    names = index[PLATE].unique().to_pylist()
    return join_plates({plate: annotate_plate(index, plate, channels) for plate in names}, "image_index")


@contextmanager
def _problems_of(experiment: Experiment, found: Examination) -> Iterator[None]:
    """Note what stops the block."""
    try:
        yield
    except ProjectError as error:
        found.problems += [placed(problem, experiment) for problem in error.problems]


def _examine_tables(
    found: Examination, experiment: Experiment, resource: ProjectResource, *, read: bool
) -> None:
    """The files of the section `features`: their headers, or all that is in them."""
    features = experiment.scoring().features
    assert features is not None
    annotations = _annotation_tables(experiment, resource)
    folder = resource.layout.root / "inputs" / "features"
    if not read:
        files = find_feature_files(features.files, folder)
        if files.tables:
            open_table_source(files.tables, features, annotations)
        return
    with tempfile.TemporaryDirectory() as work:
        external = read_external(
            features, folder, resource.layout.metadata, Path(work), annotations=annotations
        )
    if external.dropped:
        left_out = ", ".join(f"{reason}: {count:,}" for reason, count in external.dropped.items())
        where = f"{experiment.path}: features.files"
        found.warnings.append(
            Problem(f"not everything is used: {left_out}", where, "nothing needs to be done if that is meant")
        )
    _examine_rows(found, experiment, external.annotations, annotations)


def _annotation_tables(experiment: Experiment, resource: ProjectResource) -> list[AnnotationTable]:
    names = experiment.scoring().profiles.annotations
    return [read_annotation(resource.layout.metadata / name) for name in names]


def _examine_rows(
    found: Examination, experiment: Experiment, rows: pa.Table, annotations: Sequence[AnnotationTable]
) -> None:
    """Give sites or wells their annotations and roles, and look at these."""
    settings = experiment.scoring()
    protocol = settings.profiles
    joined = join_annotations(rows, annotations)
    found.warnings += [
        Problem(
            f"column {column} of {join.file} is not used: {why}",
            f"{experiment.path}: profiles.annotations",
            "correct the table, or add the columns that tell its rows apart",
        )
        for join in joined.facts.joins
        for column, why in join.left_out.items()
    ]
    roles = with_roles(joined.table, protocol.columns, labelled_only=protocol.labelled_only).table
    examine_roles(found, roles, settings, str(experiment.path))
