"""Whether the experiments fit the project: their columns are in the index, their weight files in place."""

from collections.abc import Mapping

import pyarrow as pa

from dp_assets.config.errors import Problem, ProjectError
from dp_assets.config.experiment import Experiment
from dp_assets.orchestration.assets.experiment_model import partition_of
from dp_assets.orchestration.model_imports import import_problems
from dp_assets.orchestration.model_runs import start_from
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.plate_tables import annotation_column
from dp_assets.training.crop_supply import require_trainable


def experiment_problems(
    experiments: Mapping[str, Experiment], index: pa.Table, project: ProjectResource
) -> list[Problem]:
    """What keeps usable experiments from working on this index."""
    columns = {annotation_column(name): name for name in index.column_names}
    found = []
    for experiment in experiments.values():
        if experiment.has_training:
            found += _partition_problems(experiment, index, columns)
            found += _training_problems(experiment, project)
        if experiment.has_profile:
            found += import_problems(experiment, project)
    return found


def _partition_problems(experiment: Experiment, index: pa.Table, columns: Mapping[str, str]) -> list[Problem]:
    partition = partition_of(experiment.training())
    where = f"{experiment.path}: train.partition"
    missing = [
        Problem(
            f"the image index has no column {name}; it has {', '.join(columns.values())}",
            where,
            f"add a column {name} to the index, or name another one",
        )
        for name in (*partition.targets, partition.split_field)
        if annotation_column(name) not in columns
    ]
    if missing:
        return missing
    values = index[columns[annotation_column(partition.split_field)]].unique().to_pylist()
    return [
        Problem(
            f"no image has {partition.split_field} {' or '.join(map(repr, wanted))}; "
            f"the index has {', '.join(map(repr, values))}",
            f"{where}.{split}",
            f"correct the values, or the column {partition.split_field} of the index",
        )
        for split, wanted in (("training", partition.training), ("validation", partition.validation))
        if wanted and not set(wanted) & set(values)
    ]


def _training_problems(experiment: Experiment, project: ProjectResource) -> tuple[Problem, ...]:
    """What keeps an experiment from training that can be known without opening a network."""
    settings = experiment.training()
    found: list[Problem] = []
    try:
        require_trainable(settings)
    except ProjectError as error:
        found += error.problems
    try:
        start_from(experiment, settings, project)
    except ProjectError as error:
        found += error.problems
    return tuple(found)
