"""The dose-response figure of an experiment, from its published well profiles."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dp_assets.config.errors import ProjectError, StoreError
from dp_assets.config.names import asked_lane
from dp_assets.config.project import load_project
from dp_assets.evaluation.dose_response import DoseResponse, control_distances, dose_responses
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.plate_tables import annotation_column
from dp_assets.storage.tables import read_table


@dataclass(frozen=True)
class DoseColumns:
    """Where the index says what was given to a well.

    Attributes
    ----------
    compound, dose : columns of the image index.
    exclude : (column, value): wells with this value are left out (positive controls at one high dose, say).
    unit : of the doses, for the axis.
    """

    compound: str
    dose: str
    exclude: tuple[tuple[str, str], ...] = ()
    unit: str = ""


def dose_response_report(
    root: Path, experiment: str, columns: DoseColumns
) -> tuple[bytes, list[DoseResponse]]:
    """Draw distance from the controls against dose, over all plates of an experiment.

    Controls are the wells whose `dataset.metadata.label_field` is `control_value`.

    Returns
    -------
    PNG bytes, and the response of each compound.

    Raises
    ------
    ProjectError : unknown experiment, no profiles yet, missing columns, no controls.
    """
    from dp_assets.figures.dose_response import dose_response_figure

    project = load_project(root)
    experiment = asked_lane(experiment)
    found = project.experiments.get(experiment)
    metadata = found.sections.metadata.settings if found is not None else None
    if metadata is None or metadata.control_value is None:
        raise ProjectError(
            f"experiment {experiment!r} does not exist or names no controls; there are "
            f"{', '.join(project.experiments) or 'none'}",
            where="--experiment",
            remedy="name an experiment whose dataset.metadata has label_field and control_value",
        )
    profiles = _all_profiles(ProjectResource.of(project), experiment)
    keep = np.ones(len(profiles), bool)
    for name, value in columns.exclude:
        keep &= _strings(profiles, name) != value
    profiles = profiles.filter(pa.array(keep))
    features = [name for name in profiles.column_names if not name.startswith("Metadata_")]
    matrix = np.stack([profiles[name].to_numpy() for name in features], axis=1)
    is_control = _strings(profiles, metadata.label_field) == metadata.control_value
    if is_control.sum() < 2:
        raise ProjectError(
            f"{int(is_control.sum())} wells have {metadata.label_field} {metadata.control_value!r}; "
            "two are needed",
            where=f"{experiment}/well_profiles",
            remedy="correct dataset.metadata.control_value",
        )
    if np.ptp(matrix[is_control], axis=0).max(initial=0.0) == 0:
        raise ProjectError(
            "the profiles of all control wells are the same, so distances from them mean nothing",
            where=f"{experiment}/well_profiles",
            remedy="look at the model (check `learned` of trained_model) and at the layer it is profiled at",
        )
    distances = control_distances(matrix, is_control)
    compounds, doses = _strings(profiles, columns.compound), _numbers(profiles, columns.dose)
    doses[is_control] = np.nan
    figure = dose_response_figure(
        list(compounds),
        doses,
        distances,
        control_distances=distances[is_control],
        unit=columns.unit or "as in the index",
    )
    return figure, dose_responses(compounds, doses, distances)


def _all_profiles(project: ProjectResource, experiment: str) -> pa.Table:
    folder = project.path((experiment, "well_profiles"))
    paths = sorted(folder.glob("*.parquet"), key=str) if folder.exists() else []
    if not paths:
        raise StoreError(
            "there are no well profiles yet", where=str(folder), remedy="run `dp-assets run all` first"
        )
    return pa.concat_tables(
        [read_table(path).replace_schema_metadata(None) for path in paths], promote_options="default"
    )


def _strings(profiles: pa.Table, column: str) -> np.ndarray:
    name = annotation_column(column)
    if name not in profiles.column_names:
        metadata = [c for c in profiles.column_names if c.startswith("Metadata_")]
        raise ProjectError(
            f"the profiles have no column {name}; they have {', '.join(metadata)}",
            where="well_profiles",
            remedy="name a column of the image index that is constant within wells",
        )
    return np.asarray(profiles[name].to_pylist(), dtype=object)


def _numbers(profiles: pa.Table, column: str) -> np.ndarray:
    values = _strings(profiles, column)
    numbers = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        try:
            numbers[row] = float(value) if value else np.nan
        except ValueError as error:
            raise ProjectError(
                f"dose {value!r} is not a number",
                where=f"well_profiles, column {column}",
                remedy="correct the index",
            ) from error
    return numbers
