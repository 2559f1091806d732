"""Figures made from published profiles and scores, for the command line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy

from dp_assets.config.errors import ProjectError
from dp_assets.config.names import asked_lane
from dp_assets.config.project import load_project
from dp_assets.config.validation import nearest_name
from dp_assets.orchestration.evaluation_folder import read_score_table
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.folders import open_folder
from dp_assets.storage.profile_columns import TREATMENT
from dp_assets.storage.schemas import PLATE, WELL
from dp_assets.storage.tables import read_table

ACTIVITY = "activity"
# Columns of the table `activity` that can be shown well by well, under the names of the command line.
SCORES = {"activity": "mean_average_precision", "activity_q": "corrected_p_value"}


def dose_activity_report(root: Path, experiment: str, unit: str) -> tuple[bytes, dict[str, float]]:
    """Mean average precision of each dose against the controls.

    Returns
    -------
    PNG bytes, and for each compound Spearman's rank correlation of its doses with their mAP.

    Raises
    ------
    ProjectError : the experiment is not evaluated, without the score `activity`, or without doses.
    """
    from dp_assets.figures.dose_activity import dose_activity_figure

    table = _activity(root, experiment)
    table["concentration"] = pd.to_numeric(table["concentration"], errors="coerce")
    dosed = table[table["concentration"] > 0]
    if dosed.empty:
        raise ProjectError(
            "no treatment has a dose above 0",
            where=f"{asked_lane(experiment)}/evaluation",
            remedy="name the column with the doses in profiles.concentration_field",
        )
    ranks = {
        str(compound): float(
            scipy.stats.spearmanr(rows["concentration"], rows["mean_average_precision"]).statistic
        )
        for compound, rows in dosed.groupby("compound")
        if len(rows) > 2
    }
    png = dose_activity_figure(
        dosed["compound"].to_numpy(),
        dosed["concentration"].to_numpy(float),
        dosed["mean_average_precision"].to_numpy(float),
        significant=dosed["significant"].to_numpy(bool),
        unit=unit or "as in the index",
    )
    return png, ranks


def plate_report(root: Path, experiment: str, value: str) -> bytes:
    """One number, or one category, of every well, plate by plate.

    Parameters
    ----------
    value : a feature; a `Metadata_*` column (with or without the prefix), drawn as numbers if it holds
        nothing else; or a score of treatments ("activity", "activity_q").

    Raises
    ------
    ProjectError : there are no profiles yet, or nothing of that name.
    """
    from dp_assets.figures.plate_grid import plate_categories, plate_heatmaps

    profiles = _profiles(root, experiment)
    values = _values(root, experiment, profiles, value)
    by_plate: dict[str, dict[str, str]] = {}
    for plate, well, text in zip(
        profiles[PLATE].to_pylist(), profiles[WELL].to_pylist(), values, strict=True
    ):
        by_plate.setdefault(plate, {})[well] = text
    numbers = pd.to_numeric(pd.Series(values), errors="coerce")
    if numbers.notna().sum() == sum(text != "" for text in values) > 0:
        numeric = {
            plate: {well: float(text) if text else np.nan for well, text in wells.items()}
            for plate, wells in by_plate.items()
        }
        return plate_heatmaps(numeric, value, value)
    return plate_categories(by_plate, value)


def _values(root: Path, experiment: str, profiles: pa.Table, value: str) -> list[str]:
    """The value of each well as text, "" where it has none."""
    if value in SCORES:
        table = _activity(root, experiment).set_index("treatment")[SCORES[value]]
        scores = {str(name): str(number) for name, number in table.items()}
        return [scores.get(name, "") for name in profiles[TREATMENT].to_pylist()]
    columns = {name.removeprefix("Metadata_"): name for name in profiles.column_names}
    name = value if value in profiles.column_names else columns.get(value.removeprefix("Metadata_"))
    if name is None:
        near = nearest_name(value, [*columns, *SCORES])
        raise ProjectError(
            f"the profiles have no column {value!r}",
            where=f"{asked_lane(experiment)}/profiles",
            remedy=f"Did you mean {near!r}?" if near else f"name a column, or one of {', '.join(SCORES)}",
        )
    return ["" if entry is None else str(entry) for entry in profiles[name].to_pylist()]


def _profiles(root: Path, experiment: str) -> pa.Table:
    resource = ProjectResource.of(load_project(root))
    path = resource.path((asked_lane(experiment), "profiles"), None, ".parquet")
    try:
        return read_table(path)
    except FileNotFoundError:
        raise _not_evaluated(experiment, str(path)) from None


def _activity(root: Path, experiment: str) -> pd.DataFrame:
    resource = ProjectResource.of(load_project(root))
    place = resource.path((asked_lane(experiment), "evaluation"))
    try:
        table = read_score_table(open_folder(place), ACTIVITY)
    except FileNotFoundError:
        raise _not_evaluated(experiment, str(place)) from None
    if table is None or table.empty:
        raise ProjectError(
            "the evaluation has no table of activity",
            where=str(place),
            remedy='name "activity" in evaluation.metrics, and controls; evaluation.html says why not',
        )
    return table


def _not_evaluated(experiment: str, where: str) -> ProjectError:
    return ProjectError(
        f"experiment {experiment!r} has no such result yet",
        where=where,
        remedy=f"run `dp-assets run evaluate --experiment {asked_lane(experiment)}` first",
    )
